"""`FAST`: every operation of `core.policy.PLAIN` in its fastest form."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from workbench.core.fast.block_kernels import rms_norm, swiglu
from workbench.core.fast.decode_step import decode_step
from workbench.core.fast.packed_attention import attention
from workbench.core.fast.scored_logps import scored_logps
from workbench.core.fast.vocabulary_sums import scored_kl, scored_log_collision
from workbench.core.policy import PLAIN, Kernels


def embed(tokens: Tensor, table: Tensor, tied: bool) -> Tensor:
    """`core.policy.embed`. A tied head's gradient is as large as the table: the few rows read here
    are added to it instead of making another gradient that is nearly all zeros."""
    return F.embedding(tokens, table, sparse=tied and tokens.device.type == "cpu")


FAST = Kernels(
    "fast", rms_norm, swiglu, embed, attention, scored_logps, scored_kl, scored_log_collision,
    decode_step,
)  # fmt: skip
BY_NAME = {kernels.name: kernels for kernels in (FAST, PLAIN)}
