"""A file of preference pairs chosen in the notebook, looked through, and trained on.

data_chooser.py    what is chosen, looked through and trained on
data_view.py       the widgets that show it
opened_file.py     what a file holds: its columns, its layout, its pairs
file_picker.py     the place to drop a file, the button to pick one, the list of those here
kept_files.py      the data files in a folder, and new ones kept there
column_choice.py   which column is which
first_pairs.py     pairs as the model sees them
file_facts.py      what was found in a file, and how it will be trained on
"""
