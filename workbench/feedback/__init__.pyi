from .iterative_dpo import IterativeDPO as IterativeDPO
from .iterative_dpo import iterate as iterate
from .questions import make_questions as make_questions
from .questions import simulated_voter as simulated_voter
from .votes import read_votes as read_votes
from .votes import votes_frame as votes_frame
from .votes import votes_to_pairs as votes_to_pairs
