"""Models: found by name, read, saved, and extended by heads and adapters.

headers               what files say of themselves, read before anything is built
load                  a name -> a model with its tokenizer; a model -> a folder
llama                 the small decoder's checkpoints, in the layout of Llama
smollm2               SmolLM2-135M-Instruct from the Python package index
download              models of the Hugging Face hub
hub                   any Hugging Face causal LM as a policy
hub_files             its files: read, converted, saved
x_transformers        a decoder of the library x-transformers as a policy
x_transformers_files  its files: read, saved
lora                  low-rank adapters
heads                 reward and value heads
optional              imports of packages that come with an extra
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
