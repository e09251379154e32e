"""Every setting of a run.

train_config   `TrainConfig`: one frozen dataclass
presets        settings that show something, by name
loss_fields    the parameters of the losses as its fields
defaults       what a field that is left open becomes
field_checks   ranges and checks of fields
"""

from workbench.train.config.defaults import DEFAULTS as DEFAULTS
from workbench.train.config.defaults import MAX_TOKENS as MAX_TOKENS
from workbench.train.config.field_checks import check_field as check_field
from workbench.train.config.field_checks import setting as setting
from workbench.train.config.presets import PRESETS as PRESETS
from workbench.train.config.presets import Preset as Preset
from workbench.train.config.presets import find_preset as find_preset
from workbench.train.config.presets import preset as preset
from workbench.train.config.train_config import DEVICES as DEVICES
from workbench.train.config.train_config import PRECISIONS as PRECISIONS
from workbench.train.config.train_config import TrainConfig as TrainConfig
