"""Tokens as they are kept and shared: what they mean, in files, and in datasets."""
