"""JAX programs as ONNX graphs: the operations that this package's networks are made of.

A program is traced to a jaxpr, and each of its equations becomes a few nodes. Lengths may be
symbolic. A value is written with axes of length 1 where it only repeats (values.py), as ONNX
broadcasts by itself, and what depends on no input is computed beforehand.
"""
