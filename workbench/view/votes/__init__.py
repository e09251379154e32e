"""Blind votes."""
