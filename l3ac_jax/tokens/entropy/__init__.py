"""Tokens as bytes at the cost that they have."""
