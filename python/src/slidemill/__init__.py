"""Gigapixel slides in, one Parquet dataset of every cell and region out.

Everything is done by the command ``slidemill``, which this package starts: the same model, settings and defaults,
so the same bytes. Nothing is imported before it is needed; polars, pyarrow, DuckDB, pandas and geopandas are used
where they are installed.

    run = slidemill.run("slides/", "results")
    cells = slidemill.open("results").cells()
"""

from ._options import Interest, Options
from ._program import program, settings, show_versions
from ._run import Run, run
from .dataset import Dataset, View
from .dataset import open_dataset as open
from .errors import (
    AgainError,
    FaultError,
    IncompleteError,
    KilledError,
    OutputError,
    ProgramNotFoundError,
    SlidemillError,
    UsageError,
)

__all__ = [
    "AgainError",
    "Dataset",
    "FaultError",
    "IncompleteError",
    "Interest",
    "KilledError",
    "Options",
    "OutputError",
    "ProgramNotFoundError",
    "Run",
    "SlidemillError",
    "UsageError",
    "View",
    "open",
    "program",
    "run",
    "settings",
    "show_versions",
]
