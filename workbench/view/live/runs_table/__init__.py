"""The runs of a dashboard, those of earlier days included, in a table with what can be done.

shelf.py             which runs there are, where they lie, what their rows say
table.py             the table as a widget; table.js and table.css draw it
table_actions.py     what the buttons of the table do
recorded_answers.py  recorded runs that answer beside each other
"""
