"""Profiles, and the weights files that belong to them."""

DEFAULT_PROFILE = "visual"
"""What pictures are compressed with unless another is asked for: what looks best for its bytes."""
