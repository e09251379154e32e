"""Published results in miniature, as figures.

figures.py   one figure for each name in `PAPERS`
"""
