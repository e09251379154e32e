from .claims import Claim as Claim
from .claims import claims_table as claims_table
from .paper_list import PAPERS as PAPERS
from .paper_list import Paper as Paper
from .paper_list import recorded as recorded
