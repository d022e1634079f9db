"""Multi-scale progressive context scheduler."""
