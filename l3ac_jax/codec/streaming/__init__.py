"""Encoding and decoding step by step."""
