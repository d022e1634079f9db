"""Improved checkerboard context scheduler."""
