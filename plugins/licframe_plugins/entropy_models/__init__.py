"""Entropy models: the Gaussian, and the families that grow from it."""
