"""Understand, try and compare Direct Preference Optimisation."""
