"""The examples of the documentation, run as they stand."""

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import slidemill._program

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "python/README.md"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_the_page_runs_as_it_stands(workplace):
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, optionflags=OPTIONS)
    assert failed == 0 and tried > 5


@pytest.mark.parametrize("module", [slidemill._program])
def test_examples_in_the_code(module):
    failed, tried = doctest.testmod(module, optionflags=OPTIONS, extraglobs={"slidemill": slidemill})
    assert failed == 0 and tried > 0


def test_the_notebook_runs_as_it_stands(workplace):
    runner, notebook = CHECKOUT / "tests/python/run_notebook.py", CHECKOUT / "docs/notebooks/python.ipynb"
    done = subprocess.run([sys.executable, runner, notebook], cwd=workplace, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "per_mm2" in done.stdout and "viewer, closed" in done.stdout
