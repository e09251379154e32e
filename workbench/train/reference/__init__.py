"""The reference: a frozen snapshot of the model as it is when the run starts.

* `live`: the frozen model, or the model with its adapters switched off.
* `values`: its log-probabilities of the data, computed once and kept.
* `start_model`: the model before a run, and what each of several processes holds of it.
"""
