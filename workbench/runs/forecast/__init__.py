"""How long a run would take, and how much memory, for a model on this machine.

before_run  what a preflight finds in a file, and the forecast
forecast    from a short run of the same kind to the whole one
short_run   a short run on some of the rows, timed part by part
"""
