"""What is accepted unless the user raises a limit."""

from __future__ import annotations

MAX_PIXELS = 268_000_000
"""Larger images are refused."""

WARN_PIXELS = 89_000_000
"""Larger images give a warning."""
