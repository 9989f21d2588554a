"""Parquet files in the hands of whichever library is installed. Each is imported when it is asked for."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

Engine = Literal["polars", "duckdb", "pyarrow", "geopandas", "pandas"]


def scan(files: Sequence[Path], engine: Engine | None, columns: Sequence[str] | None) -> Any:
    """The rows of the files, one file after the other.

    Raises:
        ImportError: when the library, or each of them, is not installed.
    """
    return _choose(_SCANNERS, engine)([str(file) for file in files], list(columns) if columns else None)


def from_rows(rows: list[dict[str, Any]], engine: Engine | None) -> Any:
    """A table of rows that all have the same keys.

    Raises:
        ImportError: as :func:`scan`.
    """
    return _choose(_MAKERS, engine)(rows)


def _choose(ways: dict[Engine, Callable[..., Any]], engine: Engine | None) -> Callable[..., Any]:
    if engine is None:
        engine = next((name for name in ways if find_spec(name)), None)
        if engine is None:
            raise ImportError(f"none of {', '.join(ways)} is installed: `pip install polars`, or another of them")
    if engine not in ways:
        raise ValueError(f"engine is {engine!r}, expected one of {', '.join(ways)}")
    if not find_spec(engine):
        raise ImportError(f"{engine} is not installed: `pip install {engine}`")
    return ways[engine]


def _scan_polars(files: list[str], columns: list[str] | None) -> Any:
    import polars

    frame = polars.scan_parquet(files, hive_partitioning=False)
    return frame.select(columns) if columns else frame


def _scan_duckdb(files: list[str], columns: list[str] | None) -> Any:
    import duckdb

    # A connection of its own: the tables of the caller's are not ours. The relation keeps it open.
    relation = duckdb.connect().read_parquet(files, hive_partitioning=False)
    return relation.select(*columns) if columns else relation


def _scan_pyarrow(files: list[str], columns: list[str] | None) -> Any:
    import pyarrow.dataset

    dataset = pyarrow.dataset.dataset(files, format="parquet")
    return dataset.scanner(columns=columns) if columns else dataset


def _read_geopandas(files: list[str], columns: list[str] | None) -> Any:
    import geopandas
    import pandas

    parts = [geopandas.read_parquet(file, columns=columns) for file in files]
    return pandas.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]


def _read_pandas(files: list[str], columns: list[str] | None) -> Any:
    import pandas

    parts = [pandas.read_parquet(file, columns=columns) for file in files]
    return pandas.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]


_SCANNERS: dict[Engine, Callable[..., Any]] = {
    "polars": _scan_polars,
    "duckdb": _scan_duckdb,
    "pyarrow": _scan_pyarrow,
    "geopandas": _read_geopandas,
    "pandas": _read_pandas,
}


def _polars_of(rows: list[dict[str, Any]]) -> Any:
    import polars

    return polars.DataFrame(rows, infer_schema_length=None).lazy()


def _duckdb_of(rows: list[dict[str, Any]]) -> Any:
    import duckdb

    names = ", ".join(f'"{name}"' for name in rows[0])
    line = "(" + ", ".join("?" for _ in rows[0]) + ")"
    values = [value for row in rows for value in row.values()]
    query = f"SELECT * FROM (VALUES {', '.join([line] * len(rows))}) AS rows({names})"
    return duckdb.connect().sql(query, params=values)


def _pyarrow_of(rows: list[dict[str, Any]]) -> Any:
    import pyarrow
    import pyarrow.dataset

    return pyarrow.dataset.dataset(pyarrow.Table.from_pylist(rows))


def _pandas_of(rows: list[dict[str, Any]]) -> Any:
    import pandas

    return pandas.DataFrame(rows)


_MAKERS: dict[Engine, Callable[..., Any]] = {
    "polars": _polars_of,
    "duckdb": _duckdb_of,
    "pyarrow": _pyarrow_of,
    "geopandas": _pandas_of,
    "pandas": _pandas_of,
}
