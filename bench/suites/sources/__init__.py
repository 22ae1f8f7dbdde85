"""What people already have, read as tools and as cases: lists of tools, Python functions, chat logs."""
