"""Training and evaluation data: corpora prepared once into shards, and batches out of them."""
