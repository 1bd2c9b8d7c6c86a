"""Where the audio lies in a file, whatever its headers say, and what is missing of it.

libsndfile decodes; what is here finds what it can be given, so that it neither stops early where a
header is wrong nor passes over damage without a word.
"""
