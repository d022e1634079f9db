"""Parts of detail layers: what is left of a picture after its base, as block transform coefficients."""
