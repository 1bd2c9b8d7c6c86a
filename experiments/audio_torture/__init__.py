"""What torture.py is made of.

formats     recordings of each format that is read
variants    what can happen to a file
reader      the process that reads them; campaign: starts it, and judges what it says
table       results as Markdown
"""
