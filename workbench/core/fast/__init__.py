"""Fast forms of core's definitions, each tested equal to the one that it names.

* `fast_kernels`: `FAST`, the set of them that a model computes by.
* `block_kernels`: normalisation, gate and short attention.
* `packed_attention`, `packed_rows`: attention within packed rows, in tiles.
* `scored_positions`: the head at the scored positions alone, some of them at a time.
* `scored_logps`, `vocabulary_sums`: what is made of these logits, with a gradient and without.
* `decode_step`: one new token per row, for generation.
* `bf16_weights`: bf16 copies of the weights, and an optimiser step that reads their gradients.
* `gpu/`: what is computed in another way on one GPU, and the table that chooses it.
"""
