from .heads import RewardModel as RewardModel
from .load import Model as Model
from .load import load_model as load_model
from .load import model_hash as model_hash
from .load import save_model as save_model
from .lora import add_lora as add_lora
from .lora import merge_lora as merge_lora
