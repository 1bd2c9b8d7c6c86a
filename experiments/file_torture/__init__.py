"""Damage to files and to processes, by a seed. Knows nothing of l3ac_jax: see torture_files.py."""
