"""A small synthesis that decodes the latents of a large transform."""
