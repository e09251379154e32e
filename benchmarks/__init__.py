"""The workbench beside its peers, and figures of its own; the workbench imports nothing of it."""
