"""Figures of runs.

primitives.py     lines, bars, texts and limits that all figures are drawn with
history.py        the events of runs as curves of bounded size
run_style.py      colour, dashes and mark of each run
quantities.py     what a panel shows, as data
panels.py         the panels of a run: one function each
panel_axes.py     a panel drawn on axes
run_figure.py     the figure of a run: the panels that fit, with a key
layers.py         quick redrawing of a figure whose controls move
quick_text.py     plain texts drawn a line at a time, for layers.py
outcome.py        rewards and margins before and after
methods_figure.py methods at equal KL
rounds_figure.py  reward, agreement and wins over rounds of votes
"""
