"""The folder that a job writes, read back."""

import html
import json
import subprocess
import weakref
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import _h5
from ._program import message_of, program
from ._tables import Engine, from_rows, scan
from .errors import error_of

#: How a line of ``slidemill view`` begins that names the address.
_ADDRESS = "viewer "


def open_dataset(out: str | PathLike[str]) -> "Dataset":
    """The dataset in the folder ``out``.

    Raises:
        FileNotFoundError: when no job has written there.
    """
    dataset = Dataset(out)
    if not (dataset.path / "runs").is_dir():
        raise FileNotFoundError(f"no dataset: there is no folder `runs`, which `slidemill run -o` makes: {out}")
    return dataset


class Dataset:
    """What a job wrote: cells, regions, summaries and accounts. Read when asked for; nothing is kept.

    Tables come as what ``engine`` names: a polars ``LazyFrame``, a DuckDB relation or a pyarrow ``Dataset``, which
    read what a query needs; or a geopandas ``GeoDataFrame`` or pandas ``DataFrame``, which is read at once. Without
    ``engine`` it is the first of these that is installed.

    Only slides that are committed count: those with an account.
    """

    def __init__(self, out: str | PathLike[str]) -> None:
        #: The folder.
        self.path = Path(out)

    def __repr__(self) -> str:
        return f"slidemill.open({str(self.path)!r})"

    def _repr_html_(self) -> str:
        ended = ", ".join(f"{outcome}: {len(ids)}" for outcome, ids in self._by_outcome().items())
        return f"<code>{html.escape(repr(self))}</code> {html.escape(ended or 'no slide yet')}"

    def _by_outcome(self) -> dict[str, list[str]]:
        outcomes: dict[str, list[str]] = {}
        for account in self.accounts():
            outcomes.setdefault(account["outcome"], []).append(account["slide"])
        return outcomes

    @property
    def slides(self) -> list[str]:
        """The ids of all slides with an account, in order."""
        return sorted(path.stem for path in self.path.joinpath("runs").glob("*.json"))

    def account(self, slide: str) -> dict[str, Any]:
        """What was and was not analysed of a slide, and why.

        Raises:
            KeyError: when the dataset has no slide of this id.
        """
        try:
            text = self.path.joinpath("runs", f"{slide}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise KeyError(f"no slide {slide!r} in {self!r}; it has {', '.join(self.slides) or 'none'}") from None
        account: dict[str, Any] = json.loads(text)
        return account

    def accounts(self) -> list[dict[str, Any]]:
        """All accounts, in order of id."""
        return [self.account(slide) for slide in self.slides]

    def accounts_table(self, engine: Engine | None = None) -> Any:
        """A row per slide of what its account says in figures; what was not worked out is null, no text empty.

        Raises:
            LookupError: when no slide has an account yet.
        """
        rows = [_row(account) for account in self.accounts()]
        if not rows:
            raise LookupError(f"no slide has an account yet: {self.path}")
        return from_rows(rows, engine)

    def cells(
        self,
        engine: Engine | None = None,
        *,
        slides: str | Iterable[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """One row per cell; ``slide_id`` says of which slide.

        Args:
            engine: see the class.
            slides: ids; all without it.
            columns: only these; docs/output.md lists all.

        Raises:
            LookupError: when no slide has cells, or an id is not in the dataset.
            ImportError: when the engine, or each of them, is not installed.
        """
        return scan(self._tables("cells", slides), engine, columns)

    def regions(
        self,
        engine: Engine | None = None,
        *,
        slides: str | Iterable[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """One row per region: tissue, areas that a model found, dense places. As :meth:`cells`."""
        return scan(self._tables("regions", slides), engine, columns)

    def patches(
        self,
        engine: Engine | None = None,
        *,
        slides: str | Iterable[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """One row per window of a model that gives vectors, with its place and its vector. As :meth:`cells`.

        They have no geometry: geopandas gets pandas.
        """
        return scan(self._tables("patches", slides), "pandas" if engine == "geopandas" else engine, columns)

    def to_h5(
        self,
        folder: str | PathLike[str],
        *,
        slides: str | Iterable[str] | None = None,
        dtype: _h5.Dtype = "float32",
        min_tissue: float = 0.0,
    ) -> list[Path]:
        """Writes the vectors of patches as TRIDENT and CLAM have them: ``folder/<slide>.h5`` for each slide, with
        ``features`` (patches × numbers) and ``coords`` (their upper left corners, px of level 0).

        Attributes of ``coords`` say the sizes of a patch, ``patch_size_level0`` among them, and nominal magnifications;
        those of ``features`` the model.

        Args:
            folder: is made if it is not there. No file in it is replaced.
            slides: ids; all with vectors without it.
            dtype: of ``features``; vectors are kept as float16, so that float32 holds no more.
            min_tissue: share of tissue that a patch has at least, 0 to 1.

        Raises:
            ImportError: when h5py or pyarrow is not installed.
            LookupError: when no slide has vectors, or an id is not in the dataset.
            FileExistsError: when there is such a file already; then none is written.
        """
        _h5.need_libraries()
        if dtype not in ("float16", "float32"):
            raise ValueError(f"dtype is {dtype!r}, expected float16 or float32")
        tables = self._tables("patches", slides)
        into = Path(folder)
        # `patches/slide=<id>/part-0.parquet`
        named = [(table, table.parent.name.removeprefix("slide=")) for table in tables]
        files = [into / f"{slide}.h5" for _, slide in named]
        there = [str(file) for file in files if file.exists()]
        if there:
            raise FileExistsError(f"is there already, and is not replaced: {', '.join(there)}")
        into.mkdir(parents=True, exist_ok=True)
        for (table, slide), file in zip(named, files, strict=True):
            _h5.write(table, file, self.account(slide), dtype=dtype, min_tissue=min_tissue)
        return files

    def summary(self, engine: Engine | None = None) -> Any:
        """Cells by slide, class and kind of region, with the tissue they were counted in.

        Raises:
            LookupError: when no job has ended here yet.
        """
        file = self.path / "summary.parquet"
        if not file.is_file():
            raise LookupError(f"no summary yet, it is written at the end of a job: {file}")
        return scan([file], "pandas" if engine == "geopandas" else engine, None)

    def _tables(self, kind: str, slides: str | Iterable[str] | None) -> list[Path]:
        """The files of a kind of table, in order of id."""
        accounts = self.accounts() if slides is None else [self.account(slide) for slide in _each(slides)]
        named = (file["path"] for account in accounts for file in _analysis(account).get("files", ()))
        files = sorted(self.path / name for name in named if name.startswith(f"{kind}/"))
        if not files:
            raise LookupError(f"no slide has {kind}: {self.path}")
        return files

    def view(
        self,
        slide: str | PathLike[str] | None = None,
        *,
        against: str | PathLike[str] | None = None,
        port: int = 0,
        browser: bool = False,
    ) -> "View":
        """Serves slides with their cells on this machine; in a notebook they show below the cell.

        Args:
            slide: the one to begin with: its id, or its file where that has moved.
            against: a second dataset of the same slides.
            port: of 127.0.0.1; 0 takes one that is free.
            browser: open the page in the browser, too.
        """
        words = ["view", f"--port={port}"]
        words += [f"--against={against}"] if against is not None else []
        words += ["--open"] if browser else []
        return View([program(), *words, "--", str(self.path), *([str(slide)] if slide is not None else [])])


class View:
    """A page that is served until this is closed, dropped, or Python ends."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )
        self._finalizer = weakref.finalize(self, _end, self._process)
        #: The address. It holds a secret: who has it, on this machine, sees the slides.
        self.url = self._address()

    def _address(self) -> str:
        assert self._process.stdout is not None and self._process.stderr is not None
        for line in self._process.stdout:
            if line.startswith(_ADDRESS):
                return line.removeprefix(_ADDRESS).strip()
        message = message_of(self._process.stderr.read())
        raise error_of(self._process.wait(), message or "the viewer ended before it was ready", {})

    def close(self) -> None:
        """Ends the server; the page stays, and answers no more."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<slidemill viewer at {self.url}>" if self._finalizer.alive else "<slidemill viewer, closed>"

    def _repr_html_(self) -> str:
        address = html.escape(self.url)
        frame = f"<iframe src='{address}' width='100%' height='640' style='border:0'></iframe>"
        return f"{frame}<a href='{address}' target='_blank'>in a window of its own</a>"


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _each(slides: str | Iterable[str]) -> list[str]:
    return [slides] if isinstance(slides, str) else list(slides)


def _analysis(account: dict[str, Any]) -> dict[str, Any]:
    """What was worked out; nothing for a slide that failed."""
    analysis: dict[str, Any] = account.get("analysis") or {}
    return analysis


def _row(account: dict[str, Any]) -> dict[str, Any]:
    """The figures of an account."""
    analysis = _analysis(account)
    windows, coverage = analysis.get("windows") or {}, analysis.get("coverage") or {}
    cells = analysis.get("cells")
    return {
        "slide": account["slide"],
        "outcome": account["outcome"],
        "reason": account.get("reason") or "",
        "doubts": "; ".join(account.get("doubts") or []),
        "model": account["model"]["name"],
        "slidemill": account["slidemill"],
        "mpp": analysis.get("mpp"),
        "cells": sum(cells.values()) if cells is not None else None,
        "tissue_mm2": coverage.get("tissue_mm2"),
        "analysed_mm2": coverage.get("analysed_mm2"),
        "windows_planned": windows.get("planned"),
        "windows_done": windows.get("done"),
        "windows_failed": windows.get("failed"),
    }
