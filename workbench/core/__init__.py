"""Model, loss, masking: tensors in, tensors out. No files, no widgets."""
