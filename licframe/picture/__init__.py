"""Pictures in and out of files, arrays and tensors: depth, alpha, metadata."""
