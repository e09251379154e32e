"""x-transformers' DPO as a contender, in a plain training loop, for it brings none of its own."""

from __future__ import annotations

from typing import Any

import torch
from x_transformers import DPO, Decoder, TransformerWrapper

from benchmarks.contender import Turns, serve
from benchmarks.workloads import TinyShape, read_token_pairs


def decoder(shape: TinyShape) -> TransformerWrapper:
    """The workbench's decoder out of x-transformers' parts."""
    return TransformerWrapper(
        num_tokens=shape.vocab_size,
        max_seq_len=shape.max_length,
        tie_embedding=True,
        use_abs_pos_emb=False,
        attn_layers=Decoder(
            dim=shape.dim,
            depth=shape.layers,
            heads=shape.heads,
            attn_dim_head=shape.dim // shape.heads,
            rotary_pos_emb=True,
            rotary_emb_dim=shape.dim // shape.heads,  # all of a head is turned, as in Llama
            use_rmsnorm=True,
            ff_swish=True,
            ff_glu=True,
            ff_no_bias=True,
            ff_mult=shape.hidden_dim / shape.dim,
        ),
    )


def train(setting: dict[str, Any], turns: Turns) -> None:
    """Train on the given pairs of equal lengths, in the first contender's order."""
    pairs, order = read_token_pairs(setting["pairs"]), setting["first"]["order"]
    torch.manual_seed(0)
    model = decoder(TinyShape())
    dpo = DPO(model, beta=0.1)
    # Fused AdamW and clipping are the workbench's too; left out, each would cost this side time.
    optimizer = torch.optim.AdamW(dpo.parameters(), lr=5e-4, betas=(0.9, 0.98), fused=True)
    prompt_mask = torch.arange(TinyShape().max_length) < len(pairs[0].prompt)
    turns.ready(
        precision="float32",
        tokens_per_pair=2 * (TinyShape().max_length - 1),  # its last token is not read
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        threads=torch.get_num_threads(),
    )
    for places in order:
        batch = [pairs[place] for place in places]
        loss = dpo(
            torch.tensor([p.prompt + p.chosen for p in batch]),
            torch.tensor([p.prompt + p.rejected for p in batch]),
            prompt_mask=prompt_mask.expand(len(batch), -1),
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(dpo.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        turns.step_done()


if __name__ == "__main__":
    serve(train)
