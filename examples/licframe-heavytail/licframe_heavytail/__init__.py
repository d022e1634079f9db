"""A third party's plugin for licframe."""
