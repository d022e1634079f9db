"""Where a program runs: clock, limits, memory, precision, files written whole. Knows nothing of pictures."""
