"""The command line: what each command does; and one clear line for whatever a person can mend."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from workbench.__main__ import main
from workbench.data.cache import atomic_folder
from workbench.data.layouts.row_sources import write_rows
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.models.load import save_model
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.base_model import BaseConfig, cached_base, new_model
from workbench.train.config import TrainConfig

WORLD = ReviewsConfig(pairs=40, topics=4)
FLAGS = [
    "--pairs", "40", "--topics", "4", "--pairs-from", "grammar", "--batch-size", "8",
    "--held-out", "10", "--samples", "2", "--max-new-tokens", "6", "--max-steps", "4",
]  # fmt: skip
ROWS = [
    {"prompt": f"review of the {topic}", "chosen": "it was superb", "rejected": "it was awful"}
    for topic in ("film", "book", "hotel", "game")
]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache of our own, in which the base models are small ones that were never trained."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WORKBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        for world in (WORLD, ReviewsConfig()):
            model = new_model(Reviews(world), BaseConfig(dim=16, layers=1, hidden_dim=24))
            atomic_folder(cached_base(world), partial(save_model, model))
        yield environment


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has ended."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", *FLAGS, "--beta", "0.3", "--out", str(folder)]) == 0
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a command that ends with code 2."""
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert told.endswith("\n")
    return told.removeprefix("error: ").strip()


def nothing_below(folder: Path) -> bool:
    return not list(folder.iterdir())


# -- what goes well ---------------------------------------------------------------------------


def test_train_writes_a_run(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["reason"] == "finished"
    assert summary["steps"] == 4
    assert summary["settings"]["beta"] == 0.3
    assert "held_out/rewards/accuracies" in summary
    assert (finished / "checkpoints" / "step-000004" / "policy.safetensors").exists()


def test_train_tells_where_it_stands_and_how_it_ended(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    assert main(["train", *FLAGS]) == 0
    (folder,) = (here / "runs").iterdir()
    assert folder.name.startswith("tiny-reviews-dpo-")
    told = capsys.readouterr()
    assert "step    0  held out: loss 0.693  rewards/accuracies" in told.out
    assert "held_out/rewards/accuracies" in told.out
    assert "finished" in told.out
    assert told.err == ""


def test_every_flag_reaches_the_run(here: Path) -> None:
    given = [
        "--loss", "cdpo", "--label-smoothing", "0.2", "--lr", "0.002", "--accumulate", "2",
        "--max-grad-norm", "0.5", "--weight-decay", "0.1", "--eval-every", "3", "--layout",
        "stacked", "--reference", "live", "--precision", "bf16", "--seed", "7", "--max-length",
        "48", "--label-noise", "0.1", "--out", "run",
    ]  # fmt: skip
    assert main(["train", *FLAGS, *given]) == 0
    from workbench.runs.folder.record import Record

    found = Record(here / "run").config()
    expected = TrainConfig(
        loss="cdpo", label_smoothing=0.2, lr=0.002, accumulate=2, max_grad_norm=0.5,
        weight_decay=0.1, eval_every=3, layout="stacked", reference="live", precision="bf16",
        seed=7, max_length=48, batch_size=8, held_out=10, samples=2, max_new_tokens=6, max_steps=4,
        pairs_from="grammar", out="run", device="cpu", max_tokens=0,
        world=ReviewsConfig(pairs=40, topics=4, label_noise=0.1),
    ).resolved()  # fmt: skip
    assert found == expected


def test_sample_puts_the_policy_beside_its_reference(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sample", str(finished), "--prompt", "review of the film", "review of the [b]book"]
    assert main([*command, "--json", "--max-new-tokens", "5", "--seed", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["prompt"] for one in found] == command[3:]
    assert all(one.keys() == {"prompt", "reference", "policy"} for one in found)
    assert main([*command, "--max-new-tokens", "5", "--seed", "3"]) == 0
    told = capsys.readouterr().out
    assert found[0]["policy"] in told
    assert "[b]book" in told, "what looks like markup is text"


def test_sample_without_prompts_takes_held_out_ones(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(finished), "--json", "--max-new-tokens", "3"]) == 0
    assert 1 <= len(json.loads(capsys.readouterr().out)) <= 4


def test_sample_asks_a_model(cache: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(cached_base(WORLD))
    command = ["sample", folder, "--prompt", "review of the film", "--json", "--temperature", "0"]
    assert main([*command, "--max-new-tokens", "4"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found.keys() == {"prompt", "model"}


def test_evaluate_says_what_the_run_said_last(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(finished), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    summary = json.loads((finished / "summary.json").read_text())
    assert "held_out/kl/policy_reference" in found
    assert found == {name: summary[name] for name in found}
    assert main(["evaluate", str(finished)]) == 0
    assert "held_out/rewards/margins" in capsys.readouterr().out


def test_compare_prints_both_answers_and_their_means(
    finished: Path, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    prompts = ["review of the film", "review of the [b]book"]
    sampling = ["--max-new-tokens", "5", "--seed", "3"]
    assert main(["sample", str(finished), "--json", "--prompt", *prompts, *sampling]) == 0
    expected = json.loads(capsys.readouterr().out)
    assert main(["compare", str(finished), "--prompt", *prompts, *sampling]) == 0
    told = capsys.readouterr().out
    for texts in expected:
        assert all(text in told for text in texts.values())
    assert "logp/policy" in told
    assert nothing_below(here)


def test_compare_writes_one_page(
    finished: Path, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    hostile = "<script>alert(1)</script> film"
    flags = ["--prompt", hostile, "--max-new-tokens", "5", "--html", "new/page.html"]
    assert main(["compare", str(finished), *flags, "--step", "4"]) == 0
    assert "written: new/page.html" in capsys.readouterr().out
    assert [path.name for path in (here / "new").iterdir()] == ["page.html"]
    page = (here / "new" / "page.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; film" in page
    assert hostile not in page
    assert "After step 4 of 4" in page


def test_compare_takes_several_runs_and_every_prompt(
    finished: Path,
    capsys: pytest.CaptureFixture[str],
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "link.html").symlink_to(here / "page.html")
    flags = ["--prompt", "review of the film", "--prompt", "review of the book", "how was it?"]
    again = here / "again"
    shutil.copytree(finished, again)
    command = ["compare", str(finished), "~/here/again", *flags, "--max-new-tokens", "5"]
    assert main([*command, "--html", "~/link.html"]) == 0
    assert (tmp_path / "link.html").is_symlink()  # what it leads to was written
    told = capsys.readouterr().out
    assert all(prompt in told for prompt in flags if not prompt.startswith("--"))
    assert f"{finished.name}  " in told
    assert "again  " in told
    page = (here / "page.html").read_text(encoding="utf-8")
    assert page.count("After step") == 2


def test_skipped_rows_are_told_up_to_ten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [{**ROWS[0], "chosen": "[red]", "rejected": "[red]"} for _ in range(13)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(map(json.dumps, [*bad, *ROWS])))
    flags = [*FLAGS, "--data", str(data), "--held-out", "1", "--out", "run"]
    assert main(["train", *flags]) == 0
    told = capsys.readouterr().out
    assert told.count(" skipped: ") == 10
    assert "row 10 skipped: chosen and rejected are identical" in told
    assert "and 3 more rows" in told
    assert len(Path("run/skipped.jsonl").read_text().splitlines()) == 13


def test_parameters_that_the_loss_has_no_use_for_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    unused = ["--gamma", "0.5", "--divergence-alpha", "2", "--held-out", "0", "--samples", "0"]
    assert main(["train", *FLAGS, *unused, "--beta", "0.2", "--out", "run"]) == 0
    told = capsys.readouterr().out
    assert "gamma 0.5 is not used by dpo" in told
    assert "divergence_alpha 2.0 is not used by dpo" in told
    assert told.count("is not used") == 2


def test_weights_that_the_labels_decide_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"prompt": row["prompt"], "completion": row["chosen"], "label": number > 0}
        for number, row in enumerate(ROWS)
    ]
    data = tmp_path / "labelled.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    flags = [*FLAGS, "--method", "kto", "--data", str(data), "--held-out", "0", "--samples", "0"]
    assert main(["train", *flags, "--out", "even"]) == 0
    told = capsys.readouterr().out
    assert "undesirable_weight 3, set by the training data" in told
    assert told.count("set by the training data") == 1
    assert main(["train", *flags, "--out", "given", "--desirable-weight", "0.5"]) == 0
    assert "set by the training data" not in capsys.readouterr().out


# -- what a person can mend -------------------------------------------------------------------


FILES = {
    "no JSON": ("prompt, chosen\n1, 2\n", "is not JSON: line 1"),
    "nothing": ("", "is empty"),
    "other columns": ('{"question": "a", "best": "b", "worst": "c"}', "no known layout"),
    "empty completion": ('{"prompt": "a", "chosen": " ", "rejected": "c"}', "chosen is empty"),
    "identical sides": ('{"prompt": "a", "chosen": "c", "rejected": "c"}', "identical"),
    "prompt too long": (
        json.dumps({"prompt": "film " * 70, "chosen": "good", "rejected": "poor"}),
        "the prompt has 70 tokens",
    ),
    "one prompt only": ("\n".join([json.dumps(ROWS[0])] * 3), "share one prompt"),
    "no UTF-8": (b'{"prompt": "\xff"}', "is not UTF-8"),
    "a broken line": (json.dumps(ROWS[0]) + "\n{", "line 2"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_bad_file_is_one_line_and_writes_nothing(
    kind: str, tmp_path: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, part = FILES[kind]
    data = tmp_path / "pairs.jsonl"
    data.write_bytes(content if isinstance(content, bytes) else content.encode())
    flags = [*FLAGS, "--held-out", "1", "--data", str(data)]
    for out in ([], ["--out", "run"]):
        message = refused(capsys, "train", *flags, *out)
        assert part in message
    assert nothing_below(here)


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--data", "missing.jsonl"], "no file missing.jsonl"),
        (["--data", "a\nb [red]"], "no file a b [red]"),
        (["--data", "."], ". is a folder"),
        (["--model", "no such model"], "model 'no such model' is unknown"),
        (["--model", "."], "no config.json"),
        (["--model", ""], "model=''"),
        (["--beta", "0"], "beta=0"),
        (["--beta", "-1"], "beta=-1"),
        (["--beta", "nan"], "beta=nan"),
        (["--beta", "inf"], "beta=inf"),
        (["--epochs", "0"], "epochs=0"),
        (["--lr", "1"], "lr=1"),
        (["--lr", "nan"], "lr=nan"),
        (["--batch-size", "0"], "batch_size=0"),
        (["--label-smoothing", "0.5"], "label_smoothing=0.5"),
        (["--loss", "exo_pair", "--label-smoothing", "0"], "label_smoothing=0.0"),
        (["--loss", "dpoo"], "loss='dpoo' is unknown; accepted: dpo"),
        (["--loss", "dpo+dpoo"], "loss='dpo+dpoo': 'dpoo' is unknown"),
        (["--loss", "simpo", "--reference", "live"], "simpo compares with none"),
        (["--loss", "orpo", "--ld-alpha", "0.5"], "it is normalised by length already"),
        (["--loss", "ipo", "--divergence", "forward_kl"], "is derived for the KL divergence"),
        (["--loss", "kto", "--batch-size", "1"], "batch_size=1"),
        (["--held-out", "40"], "held_out is 40"),
        (["--max-length", "65"], "max_length=65"),
        (["--topics", "1"], "topics is 1"),
        (["--seed", "-1"], "seed=-1"),
        (["--resume", "missing"], "holds no run"),
        (["--resume", "missing", "--beta", "0.5"], "--beta can't go with --resume"),
        (["--resume", "missing", "--label-noise", "0.5"], "--label-noise can't go with --resume"),
    ],
    ids=" ".join,
)
def test_a_bad_setting_is_one_line_and_writes_nothing(
    flags: list[str], part: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [] if "--resume" in flags else FLAGS
    assert part in refused(capsys, "train", *small, *flags)
    assert nothing_below(here)


@pytest.mark.parametrize(
    "flags",
    [["--beta", "much"], ["--epochs", "1.5"], ["--layout", "rows"], ["--no-such-flag"], ["--lora"]],
    ids=" ".join,
)
def test_what_is_no_value_at_all_ends_with_code_2(
    flags: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", *FLAGS, *flags])
    assert caught.value.code == 2
    assert flags[0] in "".join(capsys.readouterr())
    assert nothing_below(here)


def test_a_folder_that_holds_a_run_is_refused(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "already holds a run" in refused(capsys, "train", *FLAGS, "--out", str(finished))
    assert "has finished" in refused(capsys, "train", "--resume", str(finished))


@pytest.mark.parametrize("command", ["sample", "evaluate", "compare"])
@pytest.mark.parametrize("source", ["missing", "."])
def test_what_is_no_run_is_named(
    command: str, source: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert source in refused(capsys, command, source)
    assert nothing_below(here)


@pytest.mark.parametrize("flags", [["--prompt", ""], ["--top-p", "2"], ["--prompt", "film " * 70]])
def test_sample_refuses_in_one_line(
    finished: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, "sample", str(finished), *flags)


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--html", "."], "is a folder"),
        (["--html", "file/page.html"], "takes no new file"),
        (["--html", "page.html", "--step", "3"], "no checkpoint of step 3; it has 4"),
        (["--html", "page.html", "--prompt", ""], "prompt 0 has 0 tokens"),
        (["--html", "page.html", "--temperature", "9"], "temperature=9"),
    ],
    ids=" ".join,
)
def test_compare_refuses_in_one_line_and_writes_nothing(
    finished: Path, flags: list[str], part: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").touch()
    assert part in refused(capsys, "compare", str(finished), *flags)
    assert [path.name for path in here.iterdir()] == ["file"]


def test_compare_names_a_run_without_a_checkpoint(
    finished: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "config.toml").write_text((finished / "config.toml").read_text())
    assert "has no checkpoint yet" in refused(capsys, "compare", ".", "--html", "page.html")
    assert [path.name for path in here.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("command", [[], ["train"], ["sample"], ["evaluate"], ["compare"]])
def test_help_is_there(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "usage: python -m workbench" in capsys.readouterr().out


# -- Ctrl-C -----------------------------------------------------------------------------------


@pytest.fixture
def started(here: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the real command; long runs, which nobody waits for."""

    def start(*flags: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "workbench", "train", *FLAGS, "--max-steps", "1000000"]
        root = str(Path(__file__).parents[3])
        return subprocess.Popen(
            [*command, "--samples", "0", "--eval-every", "0", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )

    return start


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size > 3000):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for other processes")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_in_good_order(
    started: Callable[..., subprocess.Popen[str]], here: Path, sent: signal.Signals
) -> None:
    process = started("--out", "run", "--checkpoint-every", "100000")
    wait_for(here / "run" / "events.jsonl", process)
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopping after this step" in out
    assert err == ""
    summary = json.loads((here / "run" / "summary.json").read_text())
    assert summary["reason"] == "stopped"
    (checkpoint,) = (here / "run" / "checkpoints").iterdir()
    assert checkpoint.name == f"step-{summary['steps']:06d}"
    assert {path.name for path in checkpoint.iterdir()} == {
        "policy.safetensors", "optimizer.safetensors", "state.json", "events.jsonl", "files.json"
    }  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM for other processes")
def test_sigterm_before_the_first_step_ends_in_good_order(here: Path) -> None:
    """Not at once, so that what was written for a while is deleted."""
    root, cache = str(Path(__file__).parents[3]), here / "cache"
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", "train", "--out", "run"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": root, "WORKBENCH_CACHE": str(cache)},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not cache.exists():  # the base model is pretrained now
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + signal.SIGTERM, "")
    assert not (here / "run").exists()


def test_preflight_ends_with_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, wrong = tmp_path / "clean.jsonl", tmp_path / "wrong.jsonl"
    clean.write_text("\n".join(map(json.dumps, ROWS)))
    turned = {**ROWS[0], "chosen": ROWS[0]["rejected"], "rejected": ROWS[0]["chosen"]}
    wrong.write_text("\n".join(map(json.dumps, [*ROWS, turned])))
    assert main(["preflight", str(clean), "--model", "tiny", "--quick"]) == 0
    assert "nothing found" in capsys.readouterr().out
    assert main(["preflight", str(wrong), "--model", "tiny", "--quick", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    (finding,) = found["findings"]
    assert (finding["check"], finding["rows"]) == ("contradictions", [1, len(ROWS) + 1])
    assert main(["preflight", str(wrong), "--model", "tiny", "--quick"]) == 1
    assert f"rows 1, {len(ROWS) + 1}" in capsys.readouterr().out
    assert main(["preflight", str(tmp_path / "none.jsonl"), "--model", "tiny", "--quick"]) == 2
    assert main(["preflight", str(clean), "--model", "tiny", "--max-length", "9999"]) == 2
    with pytest.raises(SystemExit, match="2"):  # the file is named without a flag
        main(["preflight", str(clean), "--data", str(wrong)])


def test_training_tells_what_the_preflight_finds_and_where_to_read_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(map(json.dumps, [*ROWS, ROWS[1]])))
    flags = [*FLAGS, "--data", str(data), "--held-out", "1", "--out", "run"]
    assert main(["train", *flags]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if "preflight:" in one]
    assert "suspicious: repeated pairs in 1 rows; see python -m workbench preflight" in line
    assert line.endswith(f"{data} --model tiny")
    assert load_run(Path("run")).preflight_line == line


def test_the_command_that_is_told_reads_the_file_as_the_run_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = ({"role": "assistant", "content": f"was {word} ."} for word in ("good", "bad"))
    asked = [{"role": "user", "content": f"the plot {number}"} for number in range(4)]
    rows = [{"q": [one, good, one, good], "rejected": [one, bad, one, good]} for one in asked]
    path = write_rows([*rows, rows[0]], tmp_path / "two words.jsonl")
    config = TrainConfig(data=str(path), columns="chosen=q", turns="every", held_out=1, samples=0)
    line = Run.create(config).preflight_line
    command = line.partition("see python -m workbench ")[2]
    assert main([*shlex.split(command), "--quick"]) == 1
    assert "5 pairs: 1 wrong, 1 suspicious" in capsys.readouterr().out


def test_training_tells_of_its_self_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *FLAGS, "--max-steps", "1", "--out", "run"]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if "self-test:" in one]
    assert "6 of 6 checks passed; reference" in line


@pytest.mark.parametrize("rows", [4, 14])
def test_cut_completions_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int
) -> None:
    long = {**ROWS[0], "rejected": "it was bad " * 60}
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(map(json.dumps, [long] * rows + ROWS)))
    flags = [*FLAGS, "--data", str(data), "--held-out", "1", "--out", "run"]
    assert main(["train", *flags, "--max-length", "64"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"{rows} completions were cut at 64 tokens and lost their end of sequence" in told
    assert ("more, all in data.json" in told) == (rows > 10)


def test_columns_of_other_names_are_trained_on_and_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = [
        {"question": row["prompt"], "chosen": row["chosen"], "rejected": row["rejected"]}
        for row in ROWS
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(map(json.dumps, other)))
    columns = ["--columns", "prompt=question"]
    for loss in ("dpo", "kto", "sft"):
        flags = [*FLAGS, "--data", str(data), "--held-out", "1", "--loss", loss, "--out", loss]
        assert main(["train", *flags, *columns]) == 0
        assert main(["evaluate", loss]) == 0
    assert main(["preflight", str(data), "--model", "tiny", "--quick", *columns]) == 0
    assert main(["preflight", str(data), "--model", "tiny", "--quick"]) == 2
    assert "no prompt: no column of that name" in capsys.readouterr().err
