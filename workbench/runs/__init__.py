"""A run on disk and as an object."""
