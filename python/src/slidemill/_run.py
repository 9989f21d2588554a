"""A job: the command ``slidemill run``, watched through its JSON events."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import IO, Any, Unpack

from ._options import Path, RunArguments, flags
from ._program import message_of, program
from ._progress import Progress
from .dataset import Dataset
from .errors import AgainError, IncompleteError, error_of

#: What the last event of a job counts.
_FIGURES = ("done", "partial", "failed", "slabs", "skipped", "copies", "doubtful", "cells", "analysed_mm2", "elapsed_secs")
#: One event of a job, as docs/json-logs.md has it.
Event = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A job that ended by itself."""

    #: What it wrote.
    dataset: Dataset
    #: The command's exit code: 0, or 65 when slides are bad or incomplete.
    code: int
    #: Slides that are done, whole.
    done: int = 0
    #: Slides with some windows failed.
    partial: int = 0
    #: Slides without results.
    failed: int = 0
    #: Slides of which a part is done, as ``slab`` asked.
    slabs: int = 0
    #: Slides that an earlier run had done.
    skipped: int = 0
    #: Copies of other slides of the job, left out.
    copies: int = 0
    #: Slides with results that are to be doubted.
    doubtful: int = 0
    #: Cells of this job's slides.
    cells: int = 0
    #: Tissue analysed by this job, mm².
    analysed_mm2: float = 0.0
    #: Wall time of the job, s.
    elapsed_secs: float = 0.0
    #: Why slides are bad or incomplete, by id.
    faults: Mapping[str, str] = field(default_factory=dict)
    #: What was warned of, by id; ``None`` for the job as a whole.
    warnings: tuple[tuple[str | None, str], ...] = ()


def run(
    slides: Path | Iterable[Path],
    out: Path,
    *,
    shard: str | None = None,
    slab: str | None = None,
    config: Path | None = None,
    measure: Path | None = None,
    redo: bool = False,
    correct_columns: bool = False,
    strict: bool = False,
    progress: bool | Callable[[Event], None] = True,
    check: bool = True,
    **options: Unpack[RunArguments],
) -> Run:
    """Finds every cell of the slides and writes one dataset, as ``slidemill run`` does.

    A job that was stopped, killed or interrupted goes on from its last window when the same call is made again;
    slides that are done are skipped.

    Args:
        slides: a file, a folder, a glob or a CSV list, or several of them; none of them (``[]``) for those that
            ``slidemill plan`` wrote down in ``out``.
        out: folder for the dataset; made when it is not there.
        shard: only a part of the job: ``"2/8"`` is the second of eight.
        slab: of each slide only a part of its windows; the same call without it takes the parts together.
        config: a settings file (TOML); options come before it.
        measure: measures to make of the cells: a TOML file (docs/measures.md), or the name of a scheme that ships.
        redo: do slides again whose results were made with other settings, or that ended incomplete.
        correct_columns: take what the list says of a slide where the list it came with said something else, such as
            another patient; without it such a list is refused.
        strict: a window in which the model gave as many answers as it can makes the job incomplete.
        progress: ``True`` shows it in the notebook or on standard error, ``False`` does not; a function is called
            with each event.
        check: raise :class:`IncompleteError` when slides are bad; ``False`` leaves that to :attr:`Run.faults`.
        **options: see :class:`Options`, and :class:`Interest` for regions that somebody drew and bands along their
            border. What is not given is the command's own default.

    Raises:
        SlidemillError: the one of the exit code, with the command's own message.
        KeyboardInterrupt: when interrupted, after the job has come to an orderly end; a second interruption ends it
            at once. Either way the same call goes on from there.
    """
    words = ["run", "--json-logs", f"--out={fspath(out)}"]
    words += [f"--shard={shard}"] if shard is not None else []
    words += [f"--slab={slab}"] if slab is not None else []
    words += [f"--config={fspath(config)}"] if config is not None else []
    words += [f"--measure={fspath(measure)}"] if measure is not None else []
    switches = (("--redo", redo), ("--correct-columns", correct_columns), ("--strict", strict))
    words += [flag for flag, is_set in switches if is_set]
    given = [slides] if isinstance(slides, str | PathLike) else list(slides)
    command = [program(), *words, *flags(options), "--", *(fspath(slide) for slide in given)]
    watchers: list[Callable[[Event], None]] = [Progress()] if progress is True else []
    if callable(progress):
        watchers.append(progress)
    job = _Job(command)
    code = job.watch(watchers)
    return _end(Dataset(out), job, code, check)


class _Job:
    """The command while it runs, and what it said."""

    def __init__(self, command: list[str]) -> None:
        # In a process group of its own: an interruption reaches it from here, once, and never twice.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        self._events: IO[str] = self._process.stdout
        self._said: list[str] = []
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()
        self.finished: Event = {}
        self.faults: dict[str, str] = {}
        self.warnings: list[tuple[str | None, str]] = []

    def _listen(self, stderr: IO[str]) -> None:
        self._said.extend(stderr)

    def watch(self, watchers: list[Callable[[Event], None]]) -> int:
        """Follows the job to its end; gives its exit code."""
        try:
            self._follow(watchers)
            return self._process.wait()
        except KeyboardInterrupt:
            code = self._stop()
            raise KeyboardInterrupt(_how_to_go_on(code)) from None
        except BaseException:
            self._stop()
            raise
        finally:
            self._listener.join()
            self._events.close()

    def _follow(self, watchers: list[Callable[[Event], None]]) -> None:
        for line in self._events:
            try:
                event: Event = json.loads(line)
            except json.JSONDecodeError:
                self._said.append(line)
                continue
            self._note(event)
            for watcher in watchers:
                watcher(event)

    def _note(self, event: Event) -> None:
        match event["event"]:
            case "job_finished":
                self.finished = event
            case "slide_failed":
                self.faults[event["slide"]] = event["reason"]
            case "slide_finished" if event["outcome"] != "done":
                self.faults[event["slide"]] = f"{event['failed_windows']} windows failed"
            case "warning" | "note":
                self.warnings.append((event.get("slide"), event["message"]))

    def _stop(self) -> int:
        """Asks for an orderly end and waits for it; interrupted again, ends the job at once."""
        self._process.terminate()
        try:
            return self._drain()
        except KeyboardInterrupt:
            self._process.terminate()
            return self._drain()

    def _drain(self) -> int:
        for _ in self._events:
            pass
        return self._process.wait()

    def message(self) -> str:
        """What the command said on standard error."""
        return message_of("".join(self._said))


def _how_to_go_on(code: int) -> str:
    if code == 0:
        return "the job was done before it could be stopped"
    return "stopped; all finished windows are kept: the same call of slidemill.run goes on from there"


def _end(dataset: Dataset, job: _Job, code: int, check: bool) -> Run:
    """The job's figures, or the exception of its exit code.

    Raises:
        SlidemillError: when the job did not come to its end, and with ``check`` when slides are bad.
    """
    if job.finished.get("interrupted"):
        raise AgainError(_how_to_go_on(code))
    is_reported = bool(job.finished) and code == IncompleteError.code and not check
    if code != 0 and not is_reported:
        raise error_of(code, job.message(), job.faults)
    figures = {name: job.finished[name] for name in _FIGURES}
    return Run(dataset, code, **figures, faults=job.faults, warnings=tuple(job.warnings))
