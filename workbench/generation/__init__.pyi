from .config import SamplingConfig as SamplingConfig
from .filters import FILTERS as FILTERS
from .sampling import generate as generate
from .sampling import stream as stream
