"""The folder of a run on disk.

* `record`: `Record`, all that is written and read; `config_file`: the settings as TOML.
* `kept_runs`: all runs in a folder, renamed, copied and deleted.
"""
