"""Recordings of any length, in memory that does not grow with them."""
