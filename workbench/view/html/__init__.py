"""HTML as strings: pure functions over templates that escape whatever is put in.

render.py          templates and style sheets by name, escaping
elements.py        status of a run, errors, facts
images.py          figures as PNG and as <img>
differences.py     two texts, the words that differ marked
side_by_side.py    what several models answered, beside each other
answer_numbers.py  the numbers of answers: sorted, averaged, written
tokens.py          token strips and the table of the shift by one
templates/         Jinja2 templates
static/            style sheets and the script of the comparison page
"""
