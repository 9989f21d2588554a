"""The command: where it is, and how it is called."""

import os
import shutil
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

from ._options import Options, flags
from .errors import ProgramNotFoundError, error_of

_NAME = "slidemill.exe" if os.name == "nt" else "slidemill"
#: Names another file than the one that was installed with this package.
_VARIABLE = "SLIDEMILL_PROGRAM"


def program() -> str:
    """The path of the command ``slidemill``.

    It is the file named by ``SLIDEMILL_PROGRAM``, else the one installed with this package, else the first on the
    path.

    Raises:
        ProgramNotFoundError: when there is none.
    """
    if named := os.environ.get(_VARIABLE):
        if Path(named).is_file():
            return named
        raise ProgramNotFoundError(f"{_VARIABLE} names no file: correct or unset it: {named}")
    for folder in _script_folders():
        if (path := folder / _NAME).is_file():
            return str(path)
    if found := shutil.which(_NAME):
        return found
    folders = ", ".join(str(folder) for folder in _script_folders())
    raise ProgramNotFoundError(
        f"cannot find {_NAME}: install it with `pip install slidemill`, or name it in {_VARIABLE}; "
        f"looked at: {folders}, PATH"
    )


def _script_folders() -> Iterator[Path]:
    yield Path(sysconfig.get_path("scripts"))
    yield Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))


def ask(*arguments: str) -> str:
    """What the command prints, for commands that answer at once.

    Raises:
        SlidemillError: the one of its exit code, when that is not 0.
    """
    done = subprocess.run([program(), *arguments], capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode != 0:
        raise error_of(done.returncode, message_of(done.stderr), {})
    return done.stdout


def message_of(stderr: str) -> str:
    """The command's own words for why it ended, without its name in front."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = [line.removeprefix("slidemill: ").removeprefix("error: ") for line in lines]
    return "\n".join(said)


def settings(**options: Unpack[Options]) -> dict[str, Any]:
    """The effective settings of a run with these options, as ``slidemill settings`` tells them.

    An option without a value is left out: it is the model's own, or off.

    >>> slidemill.settings()["window"]
    2048
    >>> slidemill.settings(min_score=0.4)["min_score"]
    0.4
    """
    told = tomllib.loads(ask("settings", *flags(options)))
    return {name.replace("-", "_"): value for name, value in told.items()}


def show_versions() -> None:
    """Prints what a report of a fault should say: versions, libraries, and the devices that can be used."""
    print(ask("--version"), end="")
