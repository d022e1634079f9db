"""The parts that come with licframe, one sub-package each.

The core finds them as it finds those of third parties: through the entry points in ``pyproject.toml``.
"""
