"""The command line, `python -m workbench`.

* `flags`: flags from dataclasses, without loading torch.
* `commands`: what the commands do; `train_command`, `methods_command` and `constitution_command`:
  the longest of them; `terminal`: what they show.
"""
