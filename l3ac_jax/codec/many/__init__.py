"""Many clips and files at once."""
