"""The lessons' pictures: each interactive figure is one call that fits into any notebook."""
