"""Integer arithmetic that decides probabilities, and the range coder that uses it."""
