"""Makes `jupyter_page` importable: the tests are no package. And the folder of the pictures."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where a test leaves pictures for people to look at."""
    folder = Path(os.environ.get("WORKBENCH_PICTURES", tmp_path / "pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
