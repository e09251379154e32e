"""Published results in miniature: what was expected, what came out, and the interval.

* `paper_list`: `PAPERS`, the results by name; `claims`: a claim, its interval and its verdict.
* exact or sampled from tables: `two_actions`, `bandit`, `over_optimisation`.
* runs in the reviews world: `rankings`, `noisy_labels`, `few_desirable`; `reviews_runs`: what
  these share.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
