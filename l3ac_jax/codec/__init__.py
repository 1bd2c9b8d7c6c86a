"""The codec: audio to tokens and back, for arrays, files and recordings of any length."""
