"""Model folders damaged on purpose and at random: does each load rightly or end in one line?

    python -m benchmarks.faults models [--count N] [--seed N]

First the named cases of `hostile_cases`, then folders of each kind with bytes or settings changed
at random. Each is loaded in a process of its own, which tokenises a text, renders a prompt and
computes logits. A problem is any error but a WorkbenchError, a line that does not name the folder
or the chat template, more than one line, more than 20 s, a process that is killed, weights other
than the file's, or code of the folder that runs.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import random
import shutil
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file

from benchmarks.hostile_cases import KINDS, ODD, Damage, cases
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.load import Model, load_model, save_model

SECONDS, MEMORY = 20, 8 * 2**30
VOCAB = 61
IMPORTED = (
    "workbench.runs.run", "workbench.runs.reward.named_rewards", "workbench.runs.export.gguf_file",
    "x_transformers", "gguf", "transformers.integrations.ggml", "transformers.generation.utils",
    *(f"transformers.models.{k}.modeling_{k}" for k in ("gpt2", "qwen2", "gemma2", "llama")),
)  # fmt: skip
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ' ' + message['content'] + eos_token }}"
    "{% endfor %}"
)


def make_folders(target: Path) -> None:
    """One sound folder of each kind, and `outside`, which none of them may read."""
    import transformers

    torch.set_num_threads(1)
    words = Tokenizer.from_words([f"word{number}" for number in range(VOCAB - 4)] + ["the"])
    tokenizer = Tokenizer(words.backend, words.eos_id, words.pad_id, chat_template=TEMPLATE)
    shape = {
        "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0, "head_dim": 8,
    }  # fmt: skip
    kinds = {"llama": "LlamaConfig", "gpt2": "GPT2Config", "qwen2": "Qwen2Config",
             "gemma2": "Gemma2Config"}  # fmt: skip
    for kind, name in kinds.items():
        config = getattr(transformers, name)(**shape)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(target / kind)
        tokenizer.save(target / kind)
    shutil.copytree(target / "llama", target / "outside")
    _make_others(target, tokenizer)


def _make_others(target: Path, tokenizer: Tokenizer) -> None:
    from x_transformers import Decoder, TransformerWrapper

    from workbench.models.x_transformers import XTransformersPolicy
    from workbench.runs.export.gguf_file import write_gguf
    from workbench.runs.run import Run
    from workbench.train.config import TrainConfig

    layers = {"dim": 32, "depth": 2, "heads": 4, "attn_dim_head": 8, "rotary_pos_emb": True}
    given = {"num_tokens": VOCAB, "max_seq_len": 64}
    wrapper = TransformerWrapper(**given, attn_layers=Decoder(**layers))
    policy = XTransformersPolicy(wrapper, {**given, "attn_layers": layers})
    save_model(Model("x", policy, tokenizer, 64), target / "x_transformers")
    (target / "gguf").mkdir()
    write_gguf(load_model(str(target / "llama")), target / "gguf")
    rows = [{"prompt": f"the word{n}", "chosen": "word1", "rejected": "word2"} for n in range(8)]
    (target / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = Run.create(
        TrainConfig(
            model=str(target / "llama"), data=str(target / "pairs.jsonl"), max_steps=1, held_out=2,
            out=str(target / "reward"), method="reward_model", loss=None, batch_size=2,
        )
    )  # fmt: skip
    for _ in run:
        pass


def use(folder: Path, kind: str) -> None:
    """Load a folder, ask it for ids, a prompt and logits, and compare its weights with the file."""
    if kind == "reward":
        from workbench.runs.folder.record import Record
        from workbench.runs.prepare import open_model
        from workbench.runs.reward.named_rewards import reward_of_run

        config = replace(Record(folder).config(), device="cpu")
        reward_of_run(folder, config, open_model)(["the"], ["word1"])
        return
    path = next(folder.glob("*.gguf"), folder) if kind == "gguf" else folder
    model = load_model(str(path))
    ids = model.tokenizer.render_prompt("the word1")[: model.max_length]
    model.tokenizer.decode(model.tokenizer.completion("the word2"))
    with torch.no_grad():
        model.policy.logits(torch.tensor([ids or [1]]))  # of huge weights they are not finite
    if kind == "gguf":
        return
    state = model.policy.state_dict()
    for file in folder.glob("*.safetensors"):
        for name, tensor in load_file(file).items():
            for key, held in state.items():
                if f".{key}".endswith(f".{name.removeprefix('model.')}"):
                    assert torch.equal(held, tensor.to(held.dtype)), f"{name} differs from the file"


def _child(folder: Path, kind: str, send: Connection) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    except ImportError:
        pass
    try:
        use(folder, kind)
        send.send("loaded")
    except WorkbenchError as error:
        text = str(error)
        named = str(folder) in text or "chat template" in text or "the tokenizer" in text
        send.send(f"told: {text}" if named and "\n" not in text else f"a line without it: {text!r}")
    except BaseException:
        send.send(traceback.format_exc())


def outcome(folder: Path, kind: str) -> str:
    """ "loaded", "told: ..." with the line, or what went wrong."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(folder, kind, send))
    process.start()
    send.close()
    try:
        found = receive.recv() if receive.poll(SECONDS) else f"a hang: more than {SECONDS} s"
    except EOFError:
        process.join(1)
        found = f"the process ended with {process.exitcode}"
    process.kill()
    process.join()
    return "code of the folder was run" if (folder.parent / "canary").exists() else found


def at_random(rng: random.Random) -> tuple[str, Damage]:
    """A kind of folder and one to three changes of its files."""
    kind = rng.choice(KINDS)
    seeds = [rng.random() for _ in range(rng.choice((1, 1, 2, 3)))]

    def change(folder: Path) -> None:
        for seed in seeds:
            own = random.Random(seed)
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            path = own.choice(files)
            if path.suffix == ".json" and own.random() < 0.6:
                _change_json(path, own)
            else:
                _change_bytes(path, own)

    return kind, change


def _change_json(path: Path, rng: random.Random) -> None:
    try:
        content = inner = json.loads(path.read_text())
    except ValueError:
        return
    while isinstance(inner, dict | list) and inner:
        key = rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if not isinstance(inner[key], dict | list) or not inner[key] or rng.random() < 0.2:
            what = rng.choice((*ODD.values(), None, "\ud800", "../outside", [None], {"a": 1}))
            if what is None and isinstance(inner, dict):
                del inner[key]
            else:
                inner[key] = what
            break
        inner = inner[key]
    path.write_text(json.dumps(content))


def _change_bytes(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    what = rng.randrange(4)
    if what == 0:
        data = data[: rng.randint(0, len(data))]
    elif what == 1:
        for _ in range(rng.randint(1, 6)):
            if data:
                place = min(rng.randrange(len(data)), rng.choice((len(data) - 1, 400)))
                data[place] = rng.choice((0, 255, rng.randrange(256)))
    elif what == 2:
        place = rng.randint(0, min(len(data), 3000))
        data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 9)))
    else:
        data = bytearray()
    path.write_bytes(data)


def run(
    count: int,
    seed: int,
    tell: Callable[[str], None],
    named: dict[str, tuple[str, Damage]] | None = None,
) -> int:
    """The number of problems in the named cases, all by default, and in `count` random ones."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a process that forks has no other threads
    for module in IMPORTED:  # once, not in each process
        importlib.import_module(module)
    listed = dict(cases() if named is None else named)
    listed |= {f"seed {n}": at_random(random.Random(n)) for n in range(seed, seed + count)}
    bad, found, slowest = 0, Counter[str](), 0.0
    with TemporaryDirectory() as name:
        base = Path(name) / "base"
        base.mkdir()
        maker = multiprocessing.get_context("fork").Process(target=make_folders, args=(base,))
        maker.start()
        maker.join()
        for label, (kind, damage) in listed.items():
            with TemporaryDirectory(dir=name) as place:
                shutil.copytree(base / "outside", Path(place) / "outside")
                folder = Path(place) / kind
                shutil.copytree(base / kind, folder)
                damage(folder)
                begin = time.perf_counter()
                text = outcome(folder, kind)
                slowest = max(slowest, time.perf_counter() - begin)
            sound = text == "loaded" or text.startswith("told: ")
            if "outside" in label or "../" in label:
                sound = text.startswith("told: ")
            found[text.split(":")[0] if sound else "a problem"] += 1
            if not sound:
                bad += 1
                tell(f"{label} ({kind}): {text}")
    counted = ", ".join(f"{number:,} {what}" for what, number in sorted(found.items()))
    tell(f"{len(listed):,} cases: {counted}; the slowest took {slowest:.1f} s")
    return bad
