"""A codec's programs in formats that other software runs: StableHLO and ONNX."""
