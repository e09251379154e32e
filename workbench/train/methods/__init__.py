"""One file per training method; its name is the method's, and it holds one `METHOD`.

* `preference`: pairs, by the losses of DPO's family, with a reference or without.
* `kto`: completions that are labelled desirable or not.
* `sft`: supervised training on the chosen completions.
* `reward_model`: a scalar reward from pairs, by Bradley-Terry.
"""
