"""Profiles, and the weights files that belong to them."""
