"""A stranger's plugin for licframe."""
