"""Training: losses, discriminators, optimization."""
