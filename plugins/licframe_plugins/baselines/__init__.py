"""Codecs to compare with: those of Pillow and its plugins, and CompressAI's models."""
