"""Many runs on one page, in a notebook and as a file: which to take, and why.

sweep_data.py    the runs as the page draws them
sweep_figure.py  the same as a still figure
sweep_view.py    in a notebook; chosen runs are compared below
sweep_page.py    one self-contained file
sweep.js         table, metric against KL, parallel coordinates
sweep.css        its look, in the colours of the theme
"""
