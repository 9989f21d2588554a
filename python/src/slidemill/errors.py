"""What can go wrong: a class for each exit code of the command, with the command's own message."""

from collections.abc import Mapping
from typing import ClassVar


class SlidemillError(Exception):
    """The command did not do all that it was asked for."""

    #: The exit code that this class stands for; ``None`` where there is none.
    code: ClassVar[int | None] = None


class UsageError(SlidemillError):
    """An argument, a settings file or the model is wrong: nothing was analysed."""

    code = 64


class IncompleteError(SlidemillError):
    """Some slides are bad or incomplete. The others are done, and in the dataset."""

    code = 65

    def __init__(self, message: str, slides: Mapping[str, str]) -> None:
        super().__init__(message)
        #: Why, by the id of the slide.
        self.slides = dict(slides)


class FaultError(SlidemillError):
    """A fault of slidemill's own."""

    code = 70


class OutputError(SlidemillError):
    """The output cannot be written."""

    code = 73


class AgainError(SlidemillError):
    """A resource ran out, such as memory or the disk. The same call goes on from the last window."""

    code = 75


class KilledError(SlidemillError):
    """The command was ended from outside, by a signal. The same call goes on from the last window."""


class ProgramNotFoundError(SlidemillError, FileNotFoundError):
    """The command ``slidemill`` is not where it was looked for."""


_BY_CODE: dict[int, type[SlidemillError]] = {
    kind.code: kind for kind in (UsageError, FaultError, OutputError, AgainError) if kind.code is not None
}


def error_of(code: int, message: str, faults: Mapping[str, str]) -> SlidemillError:
    """The exception for an exit code other than 0; below 0 it is the number of a signal."""
    if code < 0:
        return KilledError(f"ended by signal {-code}; {message}" if message else f"ended by signal {-code}")
    if code == IncompleteError.code:
        named = "; ".join(f"{slide}: {reason}" for slide, reason in faults.items())
        return IncompleteError(" | ".join(filter(None, [message, named])) or "some slides are incomplete", faults)
    return _BY_CODE.get(code, FaultError)(message or f"ended with code {code}")
