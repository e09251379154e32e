"""The command line, `python -m workbench`.

* `flags`: flags from dataclasses, without loading torch; `command_settings`: the dataclasses.
* `commands/`: what the commands do; `terminal`: what they show; `printable`: as which characters.
* `find_python`, `quick_connection`, `unsolved`: set-up and notebooks.
"""
