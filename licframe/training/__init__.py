"""How weights are made: data in memory, one loop for CPU and GPU, checkpoints that resume."""
