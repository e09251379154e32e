"""The curves of runs, drawn in the browser from numbers.

live_curves.py   the widget: takes events, sends what is new
doctor_panel.py  what the runs suffer from, below their curves
messages.py      what is sent: the panels and runs, and their points
store.js         the points on the page, and tables of them
charts.js        the panels, drawn by plotly's own JavaScript
images.js        all panels as one picture
curves.js        the widget on the page: toolbar, hover, how often is drawn
curves.css       its look, in the colours of the theme
"""
