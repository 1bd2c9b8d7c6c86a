"""The official package's names, configurations and weight files, read without PyTorch."""
