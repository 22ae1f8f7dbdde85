"""One module for each thing that is looked at more closely: its values, how they are counted, and its table."""
