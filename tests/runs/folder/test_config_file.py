"""A config reads back from its file as it was written."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workbench.data.reviews.config import ReviewsConfig
from workbench.errors import WorkbenchError
from workbench.runs.folder.config_file import config_from_toml, config_to_toml
from workbench.train.config import TrainConfig

printable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(printable, printable, st.floats(1e-7, 0.1), st.floats(1e-12, 1e12), st.booleans())
@example(
    'a "b" \\ \'c\' \\u0041 """ # = [x]', "\x7f\x1f\t\r\n\x85\u2028\u202e\U0001f916", 1e-7, 1, True
)
def test_a_config_reads_back_as_written(
    tmp_path_factory: pytest.TempPathFactory,
    data: str,
    out: str,
    lr: float,
    beta: float,
    normalize: bool,
) -> None:
    world = ReviewsConfig(label_noise=0.25, pairs=7, label_scale=math.inf)
    config = TrainConfig(
        data=data, out=out, lr=lr, beta=beta, normalize=normalize, world=world, model=out
    )
    path = tmp_path_factory.getbasetemp() / "config.toml"
    path.write_bytes(config_to_toml(config).encode())
    assert config_from_toml(path) == config


def test_a_config_from_before_keeps_what_special_tokens_meant(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("beta = 0.2\n")
    assert config_from_toml(path) == TrainConfig(beta=0.2, allow_special=True)
    path.write_text("allow_special = false\n")
    assert config_from_toml(path) == TrainConfig()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("beta = \nlr = 1", "line 1"),
        ("betta = 0.1", "betta"),
        ("beta = -1", "beta=-1"),
        ("[world]\ntopics = 0", "topics is 0"),
    ],
)
def test_a_config_that_is_none_is_named(tmp_path: Path, content: str, part: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(content)
    with pytest.raises(WorkbenchError) as caught:
        config_from_toml(path)
    assert str(path) in str(caught.value)
    assert part in str(caught.value)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="holds no run"):
        config_from_toml(tmp_path / "config.toml")
