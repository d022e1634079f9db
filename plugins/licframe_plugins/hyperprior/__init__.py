"""Hyperprior: side information that other schedulers build on, and a scheduler of its own."""
