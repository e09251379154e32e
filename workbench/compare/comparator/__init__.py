"""A run in the forms of other tools: its answers for the LLM Comparator from here.

comparator_file  answers and verdicts as a file of the LLM Comparator, and back
export_run       a run in any form, models by `runs.export`
"""
