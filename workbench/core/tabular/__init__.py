"""Worlds small enough to enumerate: every step from the RLHF objective to the DPO loss, exactly.

* `tabular_world`: prompts with a handful of responses, a reference and a true reward.
* `closed_forms`: objective, optimum, partition function, implied reward, Bradley-Terry, KL.
* `descent`: the loss over all pairs, and gradient descent on it.
* `maximum_likelihood`: the reward of RLHF's first stage and the policy of DPO, both to the end.
* `plackett_luce`: rankings of more than two answers.
* `token_tree`: completions token by token, with Q* and V*.
"""

from workbench.core.tabular.closed_forms import canonical_rewards as canonical_rewards
from workbench.core.tabular.closed_forms import expected as expected
from workbench.core.tabular.closed_forms import implied_rewards as implied_rewards
from workbench.core.tabular.closed_forms import kl as kl
from workbench.core.tabular.closed_forms import log_partition as log_partition
from workbench.core.tabular.closed_forms import objective as objective
from workbench.core.tabular.closed_forms import optimal_logps as optimal_logps
from workbench.core.tabular.closed_forms import preferences as preferences
from workbench.core.tabular.descent import Descent as Descent
from workbench.core.tabular.descent import descend as descend
from workbench.core.tabular.descent import expected_loss as expected_loss
from workbench.core.tabular.maximum_likelihood import fit_dpo as fit_dpo
from workbench.core.tabular.maximum_likelihood import fit_rewards as fit_rewards
from workbench.core.tabular.maximum_likelihood import reward_loss as reward_loss
from workbench.core.tabular.plackett_luce import choice_logps as choice_logps
from workbench.core.tabular.plackett_luce import pairs_worth as pairs_worth
from workbench.core.tabular.plackett_luce import ranking_chances as ranking_chances
from workbench.core.tabular.plackett_luce import ranking_loss as ranking_loss
from workbench.core.tabular.plackett_luce import ranking_slopes as ranking_slopes
from workbench.core.tabular.tabular_world import TabularWorld as TabularWorld
from workbench.core.tabular.token_tree import TokenTree as TokenTree
from workbench.core.tabular.token_tree import completion_sums as completion_sums
