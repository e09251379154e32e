"""Feedback by principles: written before one's eyes, inspected and edited.

revision_panes    original, critique and revision beside each other while they are written
feedback_table    pairs with their provenance: filtered, edited, written as a new file
intervals_figure  numbers with their intervals, by critic or principle
"""
