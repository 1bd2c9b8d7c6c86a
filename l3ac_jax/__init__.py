"""L3AC, a neural audio codec, in JAX."""
