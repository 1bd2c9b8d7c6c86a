"""Where parameters come from: the package, the hub, model folders and files."""
