"""What turns a model and pairs into a trained policy: configuration, loop, reference, record."""
