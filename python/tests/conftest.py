"""What the tests share. `tests/python_package.rs` paints the slides and calls pytest; by hand:

SLIDEMILL_PROGRAM=target/release/slidemill SLIDEMILL_TEST_SLIDES=folder PYTHONPATH=python/src pytest python
"""

import os
import shutil
from pathlib import Path

import pytest

import slidemill

#: Windows small enough for a small slide to have several.
SMALL = {"window": 512, "threads": 2}


@pytest.fixture(scope="session")
def slides() -> Path:
    """A folder with two painted slides."""
    return Path(os.environ["SLIDEMILL_TEST_SLIDES"])


@pytest.fixture(scope="session")
def analysed(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> slidemill.Run:
    """The slides, analysed once for all tests that only read."""
    return slidemill.run(slides, tmp_path_factory.mktemp("analysed"), progress=False, **SMALL)


@pytest.fixture
def workplace(slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `slides` in it, as the documentation has it."""
    shutil.copytree(slides, tmp_path / "slides")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tables(out: Path) -> dict[str, bytes]:
    """The bytes of all cell and region tables, by their path."""
    files = [path for kind in ("cells", "regions") for path in (out / kind).rglob("*.parquet")]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}
