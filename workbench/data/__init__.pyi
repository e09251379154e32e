from .completions import read_completions as read_completions
from .pairs import read_pairs as read_pairs
from .pairs import write_jsonl as write_jsonl
from .reviews.grammar import TOPICS as TOPICS
from .reviews.grammar import split_words as split_words
from .reviews.likelihood import next_words as next_words
from .tokenizer import Tokenizer as Tokenizer
