"""Evaluation: how well a codec does."""
