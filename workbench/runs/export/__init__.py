"""A run in the forms that other tools read, each with a certificate that it is the same model.

export_model     one run, one form, one folder: refused, written, checked, and only then there
contents         what of a run is exported: its model, rows and prompts
certificate      what the exported model gives beside what the policy gives
model_card       README.md of an exported model
hf_folder        the files of `transformers`
peft_folder      adapters apart from their base
gguf_file        one GGUF file; `gguf_tokenizer` its vocabulary
trl_folder       data, start model and script for TRL; `trl_settings` its names for ours
templates/       scripts that run without the workbench
"""
