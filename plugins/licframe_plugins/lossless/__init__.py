"""A codec without loss: PNG and WebP in a .lic file."""
