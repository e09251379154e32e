"""From the rows of a file to texts.

row_sources     the rows of a file, a table in memory, a data set
table_files     CSV, TSV and Parquet files, and folders of data sets
columns         names of columns, and what they are meant as
known_layouts   `LAYOUTS`: the column layouts of preferences; a new one is one entry
side_messages   the messages of prompt and completions in columns of their own
answer_lists    pairs out of ranked or scored answers
conversations   which messages are the prompt, and which are scored
messages        one message, and conversations as text
reading         what a person says of a file
unusable        why a row cannot be used
"""
