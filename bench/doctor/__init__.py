"""Whether a machine and a model are ready, line by line, with a fix for each failure."""
