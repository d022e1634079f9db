"""Residual transform with deformable convolutions."""
