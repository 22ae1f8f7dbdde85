"""The command `toolgauge`: one file per verb. Each parses its options, calls into `bench`, and prints."""
