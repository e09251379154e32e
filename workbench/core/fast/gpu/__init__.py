"""What is computed in another way on one GPU, each tested equal to its definition.

* `gpu_kernels`: which of them are used, what was measured of each, and their choice.
* `flex_rows`: attention within packed rows by FlexAttention.
* `compiled_block`: blocks and log-probabilities by `torch.compile`.
* `static_decode`: one new token per row from buffers that stay in place, as a CUDA graph.
"""
