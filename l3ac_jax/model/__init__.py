"""The L3AC network as pure Flax Linen modules: no files, no jit, no training in here."""
