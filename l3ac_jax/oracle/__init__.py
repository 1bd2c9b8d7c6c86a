"""The official PyTorch code: what this package is compared with in tests and benchmarks."""
