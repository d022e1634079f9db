"""The .lic file: chunks, checksums, header. Needs neither torch nor plugins."""
