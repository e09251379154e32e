"""Any number of models or checkpoints side by side, as one table of prompts.

comparison.py         from runs and models to the table, in a notebook
comparison_data.py    the frame of answers as the columns and rows of the table
comparison.js, .css   the table: sorted, filtered, opened, selected; in a notebook and on a page
"""
