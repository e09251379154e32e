"""Load an exported model with the plain libraries alone; write what it gives for some rows.

    python certify.py FOUND.json < JOB.json

The job names the model's files and holds token ids; nothing of the workbench is imported.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers

LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def load(job: dict[str, Any]) -> Any:
    """The model, in float32."""
    options = LOCAL | {"dtype": torch.float32}
    if file := job.get("gguf"):
        options["gguf_file"] = file
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(job["model"], **options)
    if adapters := job.get("adapters"):
        import peft

        model = peft.PeftModel.from_pretrained(model, adapters)
    return model.eval()


def token_logps(model: Any, prompt: list[int], completion: list[int]) -> list[float]:
    """The log-probability of each token of a completion, in the model's own number format."""
    ids = torch.tensor([prompt + completion])
    logps = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    return logps.gather(-1, ids[0, len(prompt) :, None])[:, 0].tolist()


def greedy(model: Any, prompt: list[int], most: int, stop: Any, pad: int) -> list[int]:
    """The likeliest tokens, with the end token where there is one."""
    ids = torch.tensor([prompt])
    how = transformers.GenerationConfig(
        do_sample=False, temperature=1.0, top_p=1.0, top_k=0, repetition_penalty=1.0,
        max_new_tokens=most, eos_token_id=stop, pad_token_id=pad,
    )  # fmt: skip
    mask = torch.ones_like(ids)
    found = model.generate(input_ids=ids, attention_mask=mask, generation_config=how)
    return found[0, len(prompt) :].tolist()


def tokenised(job: dict[str, Any], kind: Any = transformers.AutoTokenizer) -> list[Any]:
    """The ids that the exported tokenizer gives for each text; none where it can't be read."""
    options = LOCAL | ({"gguf_file": job["gguf"]} if job.get("gguf") else {})
    tokenizer = kind.from_pretrained(job["tokenizer"], **options)
    found = []
    for text in job["texts"]:
        if text["message"]:
            message = [{"role": "user", "content": text["text"]}]
            ids = tokenizer.apply_chat_template(
                message, add_generation_prompt=True, return_dict=False
            )
        else:
            ids = tokenizer(text["text"], add_special_tokens=text["specials"])["input_ids"]
        found.append(list(ids))
    return found


@torch.no_grad()
def main(job: dict[str, Any]) -> dict[str, Any]:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = load(job)
    stop = job.get("stop") or model.generation_config.eos_token_id
    found: dict[str, Any] = {
        "answers": [
            greedy(model, prompt, job["most"], stop, job["pad"]) for prompt in job["prompts"]
        ],
        "stop": stop,
        "float32": [token_logps(model, *row) for row in job["rows"]],
    }
    model.double()  # so that what differs is a weight or a formula, not the order of sums
    found["float64"] = [token_logps(model, *row) for row in job["rows"]]
    try:
        found["ids"] = tokenised(job)
        # For some kinds of models AutoTokenizer takes another tokenizer than the folder holds.
        found["as_written"] = tokenised(job, transformers.PreTrainedTokenizerFast)
    except Exception as error:  # the library's errors share no narrower class
        found["unread"] = " ".join(str(error).split())[:200]
    names = ["transformers", "torch", "tokenizers", *(["peft"] if job.get("adapters") else [])]
    names += ["gguf"] if job.get("gguf") else []
    alone = not any(name.split(".")[0] == "workbench" for name in sys.modules)
    return found | {"versions": {name: version(name) for name in names}, "alone": alone}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(main(json.load(sys.stdin))), encoding="utf-8")
