"""What surrounds a model: generation, weights on disk, other people's models, adapters."""
