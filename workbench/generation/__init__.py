"""From a model and prompts to answers."""
