"""The parts that come with licframe, one sub-package each.

The core finds them as it finds a stranger's: through the entry points in ``pyproject.toml``.
"""
