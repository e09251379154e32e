"""HTML pieces."""
