from .base_model import BaseConfig as BaseConfig
from .base_model import cached_base as cached_base
from .base_model import new_model as new_model
from .base_model import pretrain as pretrain
from .control import Control as Control
from .loop import fit as fit
from .method import find_method as find_method
