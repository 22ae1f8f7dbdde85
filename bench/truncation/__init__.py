"""What a smaller token budget would have cost."""
