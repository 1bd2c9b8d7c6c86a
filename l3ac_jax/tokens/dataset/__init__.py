"""Datasets of tokens for trainers of language models."""
