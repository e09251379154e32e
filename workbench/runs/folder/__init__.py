"""The folder of a run on disk.

* `record`: `Record`, all that is written and read; `config_file`: the settings as TOML;
  `event_log`: the events; `known_rows`: the rows.
* `checkpoint_files`: one checkpoint; `checkpoints`: all of a run.
* `seals`: files that hold their own SHA-256; `made_with`: settings compared with a checkpoint's;
  `lock`: one process writes.
* `control_file`: what others ask of a run that goes on; `line_tail`: a file of lines as it grows.
* `kept_runs`: all runs in a folder, renamed, copied and deleted.
"""
