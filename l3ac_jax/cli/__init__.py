"""The command `l3ac-jax`."""
