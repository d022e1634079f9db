"""Light residual transform that starts as the optimal linear one."""
