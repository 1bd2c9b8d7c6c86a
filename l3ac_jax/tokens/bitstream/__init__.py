"""`.l3ac` files."""
