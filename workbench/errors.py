"""The one exception class of the project."""


class WorkbenchError(Exception):
    """Something that a person can mend: a file, a value, a missing package.

    The message is one line: it names the file, row, field or parameter, the bad value, and what is
    accepted. The command line prints it and exits with code 2; a dashboard shows it as a card.
    """
