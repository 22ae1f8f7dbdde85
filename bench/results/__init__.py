"""The result file: its schema, what is written and read, and the verdicts in it."""
