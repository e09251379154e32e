"""Sources with too many rows to hold: read in a stream, tokenised once, kept memory-mapped.

row_stream      what is read in a stream, and which sources are large
json_lines      the rows of JSONL files
arrow_rows      those of Parquet files and saved data sets
hub_rows        those of data sets of Hugging Face, by name
source_digest   what a file holds, by hash
token_cache     a source tokenised: made once for a tokenizer and settings, then opened
cache_writer    how it is made
cache_files     how it lies on disk: items, texts, what is known of each
text_json       texts as JSON
lazy_items      items and texts that are made when they are looked at
hashed_groups   held-out rows by prompt and group, from hashes
"""
