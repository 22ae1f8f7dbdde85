"""The result file: its schema and migrations, and what is read from it."""
