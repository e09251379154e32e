"""Widgets that a person sets."""
