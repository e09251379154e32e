from .iterative_dpo import IterativeDPO as IterativeDPO
from .iterative_dpo import iterate as iterate
from .questions import simulated_voter as simulated_voter
from .votes import votes_frame as votes_frame
from .votes import votes_to_pairs as votes_to_pairs
