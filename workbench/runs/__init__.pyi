from .exact_sweep import KL as KL
from .exact_sweep import REWARD as REWARD
from .exact_sweep import fixed_budget as fixed_budget
from .exact_sweep import sample_pairs as sample_pairs
from .exact_sweep import tabular_sweep as tabular_sweep
from .pretraining_eval import PretrainingEval as PretrainingEval
from .run_data import review_scores as review_scores
