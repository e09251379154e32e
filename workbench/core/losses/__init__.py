"""Every loss, one short function each, in the registry `LOSSES`.

* `pairwise`: pairs against a reference; `distributional`: sorted values of them;
  `reference_free`: pairs without one; `other_rows`: labels, supervised texts, rewards;
  `on_policy`: completions that the policy wrote itself.
* `modifiers`: what combines with them; `lookup`: losses by name, weighted sums included.
* `loss_registry`: `LOSSES`, and what a loss says of itself; `parameter`: what a person can set;
  `inputs`: what losses are computed from.
"""

# In the order of menus; importing them fills the registry.
from workbench.core.losses import pairwise, distributional, reference_free, other_rows, on_policy  # noqa: F401, I001
from workbench.core.losses.inputs import LabelledLogps as LabelledLogps
from workbench.core.losses.inputs import PairLogps as PairLogps
from workbench.core.losses.lookup import find_loss as find_loss
from workbench.core.losses.modifiers import MODIFIERS as MODIFIERS
from workbench.core.losses.pairwise import BETA as BETA
from workbench.core.losses.pairwise import log_sigmoid as log_sigmoid
from workbench.core.losses.parameter import Parameter as Parameter
from workbench.core.losses.loss_registry import LOSSES as LOSSES
from workbench.core.losses.loss_registry import Loss as Loss
from workbench.core.losses.loss_registry import all_parameters as all_parameters
from workbench.core.losses.loss_registry import check_parameter as check_parameter
from workbench.core.losses.loss_registry import loss as loss
