"""What training changed: answers, tokens, probabilities and win rates of models, compared.

several/              any number of models side by side: sorted, filtered, opened, selected
ask.py                a prompt is typed, all models answer while they are watched
ches.py               the pairs that are likely to displace their own chosen completion
checkpoint_slider.py  how answers changed from checkpoint to checkpoint
page.py               one self-contained HTML page about a run
pair_table.py         the held-out pairs of a run, one of them opened
probability_mass.py   which tokens and texts gained what the chosen completion lost
token_view.py         the log-ratios of an answer or a pair, token by token
token_parts.py        the HTML parts of the token views
logratio_lines.py     the summed log-ratios as a picture
what_changed.py       what a run on a real model changed, the price, and the sweep for a preset
win_rate.py           how often one model beats the other, per judge
sources.py            from runs, folders and names to models
"""
