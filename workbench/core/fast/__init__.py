"""The fast forms of core's definitions, each tested equal to the one it names."""
