"""What the files of a model say of themselves, read before anything is built.

tensor_headers  safetensors: names, shapes and types of the weights
gguf_headers    the same of a GGUF file, and its settings
sizes           whether a configuration fits the weights
"""
