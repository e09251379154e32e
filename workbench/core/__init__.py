"""The definitions: tensors in, tensors out. No files, no widgets.

Read in this order:

* `transformer`: the small decoder; `attention`: rotary positions, softmax attention, the cache;
  `policy`: what every model here can do, and the operations that it computes by.
* `batch`: rows of tokens with masks; `collation`: from token ids to batches.
* `logps`: from logits to log-probabilities and KL: the only next-token shift.
* `losses/`: every loss, one short function each, and what combines with them.
* `metrics`: rewards, margins, accuracies, KL: each defined once.
* `tabular/`: worlds small enough to enumerate; `displacement`: why the chosen may fall there.
* `fast/`: the same operations in their fastest form. Nothing above needs them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
