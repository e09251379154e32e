"""What turns a model and pairs into a trained policy: configuration, loop, reference, record."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
