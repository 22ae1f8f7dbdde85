"""Known models by name, shape and repository, and how a name becomes a file."""
