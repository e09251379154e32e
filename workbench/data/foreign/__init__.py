"""What comes from strangers, kept within limits.

own_files        files of a folder that lie in it
tokenizer_trial  a tokenizer tried in a process of its own
template_limits  chat templates whose costs are counted while they are rendered
template_costs   what their values cost
template_tree    where the counting is put into a template
"""
