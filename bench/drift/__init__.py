"""What quantization does to the probabilities of right answers."""
