"""What turns a model and data into a trained policy: one loop for every method.

* `config`: every setting of a run; `settings`: those that may change while it goes on.
* `loop`: `fit`, the only optimiser loop; `control`: changes to it from any thread; `events`: what
  it yields.
* `method`: what a training method is; `methods/`: one file per method.
* `batches`: sources of batches whose state can be saved; `epoch_order`: what is in which.
* `reference/`: the frozen model, its log-probabilities, and what each process holds of it.
* `file_checks/`: a file looked through for a model.
* `precision`: device and number format; `distributed/`: several processes.
* `base_model`: the embedded base model and its pretraining.
* `model_lock`: one thread at a time uses models.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
