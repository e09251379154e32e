"""The reviews world: grammar, likelihood, true reward."""
