"""How well machines still understand decoded audio: its words, voices, sounds and notes."""
