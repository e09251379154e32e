"""Widgets, figures and HTML: the only part of the package that knows of notebooks.

cell_output.py      HTML or a figure below a cell
throttle.py  how often something is redrawn
plot/        figures
curves/      the curves of runs, drawn in the browser
html/        HTML, templates and style sheets
controls/    widgets that a person sets
data/        a file chosen, looked through and trained on
live/        the dashboard
sweep/       many runs on one page
compare/     what training changed
votes/       blind votes
constitution/ feedback by principles
lessons/     the interactive figures of the lessons
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
