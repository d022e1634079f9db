"""Refiners: encoder-side search for a better latent of one image."""
