"""Where a program runs: clock, limits, memory, precision, files written whole, a bar of progress. Knows nothing of pictures."""
