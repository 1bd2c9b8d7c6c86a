"""Measures of decoded audio and of tokens, which training and evaluation share."""
