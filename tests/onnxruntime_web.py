"""Where tests find the npm package onnxruntime-web."""

PLACE = "L3AC_JAX_ONNXRUNTIME_WEB"
"""The environment variable that names its folder (node_modules/onnxruntime-web)."""
