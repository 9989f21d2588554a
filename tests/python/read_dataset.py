"""Read a slidemill dataset with four programs and print what each of them saw.

    python read_dataset.py OUT

OUT is the folder given to `slidemill run -o`. One JSON object goes to standard output:

    {"cells": {"pyarrow": {...}, "polars": {...}, "duckdb": {...}, "geopandas": {...}}, "regions": ...}

A table that the dataset does not have is null. The readers give the same keys, so that a test need only ask
whether the values are equal:

    rows       number of rows
    columns    their names, in the order of the file, without the partition column
    slides     rows per slide, by the partition `slide=<id>` of the path
    classes    rows per value of `class_name`, or {} where the table has none
    ids        SHA-256 of the sorted ids, one decimal number per line
    unique     whether all ids differ
    bounds     [xmin, ymin, xmax, ymax] of the `bbox` column in level-0 pixels, or null without rows

GeoPandas, which understands the geometry, takes the `bbox` column for a part of it: it is not among its
`columns`, its `bounds` are those of the geometries themselves, and it gives two keys more:

    crs        the reference system: null, since slides have none
    in_half    rows that its own `bbox=` filter finds in the left half, against a count by hand
"""

import hashlib
import json
import sys
from pathlib import Path

PARTITION = "slide"
ID_COLUMNS = ("cell_id", "region_id")
SIDES = ("xmin", "ymin", "xmax", "ymax")


def id_column(columns):
    """The name of the table's id column."""
    return next(name for name in ID_COLUMNS if name in columns)


def bounds(xmin, ymin, xmax, ymax):
    """The four extremes, or None where there are no rows."""
    extremes = [xmin, ymin, xmax, ymax]
    return None if any(value is None for value in extremes) else [float(value) for value in extremes]


def answer(columns, ids, slides, classes, box):
    """What a reader saw, in the words of the module's text."""
    ids = sorted(int(value) for value in ids)
    return {
        "rows": len(ids),
        "columns": [name for name in columns if name != PARTITION],
        "slides": {str(key): int(count) for key, count in sorted(slides)},
        "classes": {str(key): int(count) for key, count in sorted(classes)},
        "ids": hashlib.sha256("".join(f"{value}\n" for value in ids).encode()).hexdigest(),
        "unique": len(set(ids)) == len(ids),
        "bounds": box,
    }


def by_pyarrow(folder):
    """Apache Arrow's dataset reader."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    partition = ds.partitioning(flavor="hive")
    table = ds.dataset(folder, format="parquet", partitioning=partition, exclude_invalid_files=False).to_table()

    def counts(name):
        if name not in table.column_names:
            return []
        return [(row["values"], row["counts"]) for row in pc.value_counts(table[name]).to_pylist()]

    def extreme(side):
        values = pc.struct_field(table["bbox"], side)
        return (pc.min if side.endswith("min") else pc.max)(values).as_py()

    ids = table[id_column(table.column_names)].to_pylist()
    box = bounds(*map(extreme, SIDES))
    return answer(table.column_names, ids, counts(PARTITION), counts("class_name"), box)


def by_polars(folder):
    """Polars' own Parquet reader."""
    import polars as pl

    frame = pl.scan_parquet(folder / "**" / "*.parquet", hive_partitioning=True).collect()

    def counts(name):
        return frame.group_by(name).len().rows() if name in frame.columns else []

    def extreme(side):
        values = frame["bbox"].struct.field(side)
        return values.min() if side.endswith("min") else values.max()

    ids = frame[id_column(frame.columns)].to_list()
    return answer(frame.columns, ids, counts(PARTITION), counts("class_name"), bounds(*map(extreme, SIDES)))


def by_duckdb(folder):
    """DuckDB's own Parquet reader, without the spatial extension, which it would download."""
    import duckdb

    connection = duckdb.connect()
    files = str(folder / "**" / "*.parquet").replace("'", "''")
    source = f"read_parquet('{files}', hive_partitioning = true)"
    columns = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]

    def counts(name):
        if name not in columns:
            return []
        return connection.execute(f"SELECT {name}, count(*) FROM {source} GROUP BY {name}").fetchall()

    extremes = ", ".join(f"{side[1:]}(bbox.{side})" for side in SIDES)
    ids = connection.execute(f"SELECT {id_column(columns)} FROM {source}").fetchall()
    box = bounds(*connection.execute(f"SELECT {extremes} FROM {source}").fetchone())
    return answer(columns, (row[0] for row in ids), counts(PARTITION), counts("class_name"), box)


def by_geopandas(folder):
    """GeoPandas, which reads the geometry column and its metadata."""
    import geopandas

    frame = geopandas.read_parquet(folder)

    def counts(name):
        return frame[name].astype(str).value_counts().items() if name in frame.columns else []

    ids = frame[id_column(frame.columns)]
    box = [float(value) for value in frame.total_bounds] if len(frame) else None
    seen = answer(frame.columns, ids, counts(PARTITION), counts("class_name"), box)
    seen["crs"] = None if frame.crs is None else str(frame.crs)
    seen["in_half"] = None if box is None else left_half(geopandas, folder, frame, box)
    return seen


def left_half(geopandas, folder, frame, box):
    """Rows that touch the left half: as the file's `bbox` covering finds them, and counted by hand."""
    xmin, ymin, xmax, ymax = box
    middle = (xmin + xmax) / 2
    found = geopandas.read_parquet(folder, bbox=(xmin, ymin, middle, ymax))
    return {"found": len(found), "by_hand": int((frame.geometry.bounds["minx"] <= middle).sum())}


READERS = {"pyarrow": by_pyarrow, "polars": by_polars, "duckdb": by_duckdb, "geopandas": by_geopandas}


def read_table(folder):
    """What every reader saw of one table, or None where the dataset does not have it."""
    if not any(folder.glob(f"{PARTITION}=*/*.parquet")):
        return None
    return {name: read(folder) for name, read in READERS.items()}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    json.dump({name: read_table(out / name) for name in ("cells", "regions")}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
