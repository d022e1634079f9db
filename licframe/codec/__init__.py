"""A picture in, a file out, and back: the interface of all codecs, the latent codec, and how one is loaded."""
