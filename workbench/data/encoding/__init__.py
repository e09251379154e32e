"""Texts as token ids.

encode_rows   rows of any kind, many at a time on all cores
dialogue_ids  conversations of several turns, with the tokens that are scored
"""
