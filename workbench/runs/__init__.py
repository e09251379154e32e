"""A run on disk and as an object.

* `run`: `Run`, an iterator of events: create, resume, branch; `run_loop`: how it goes on, with
  `checkpoint_timer`; `run_view`: what can be read of it.
* `prepare`: the parts of a run, made from its settings; `run_data`: its rows, `large_data`: those
  that are too many to hold.
* `evaluate`: the held-out evaluation.
* `folder/`: the run on disk: record, settings as TOML, all runs in a folder.
* `reopen`: a recorded run opened again.
* `trackers/`: runs shown in TensorBoard, W&B and Trackio.
* `forecast/`: minutes and memory of a run, before it is made.
* `self_test/`: a run looked through before its first step.
* `doctor/`: what a run suffers from, by what it has logged.
* `sweep`: many runs, one table; `study/`: the same on disk, searched, killed and gone on with.
* `exact/`: experiments where every number is exact.
* `equal_kl/`: training methods compared at an equal distance from the reference.
* `choosing`: which method fits: needs, costs, and the questions that decide.
* `pretraining_eval`: snapshots while the base model is pretrained.
* `papers/`: published results in miniature.
* `export/`: a run in the forms that other tools read, with a certificate.
* `machine`: what this machine has.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
