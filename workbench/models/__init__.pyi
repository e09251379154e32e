from .heads import RewardModel as RewardModel
from .load import model_hash as model_hash
from .lora import add_lora as add_lora
from .lora import merge_lora as merge_lora
