"""Vectors of patches as HDF5 files that TRIDENT and CLAM read: one for each slide, with `features` and `coords`."""

import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

#: Number types of the vectors.
Dtype = Literal["float16", "float32"]

#: Nominal magnifications of scanners. 10 µm over the mpp is near one of them.
_NOMINAL = (80, 60, 40, 20, 10, 5, 2, 1)

_COLUMNS = ["left_px", "top_px", "width_px", "width_um", "tissue", "embedding"]


def need_libraries() -> None:
    """Refuses to begin without them.

    Raises:
        ImportError: when one is not installed.
    """
    missing = [name for name in ("h5py", "pyarrow") if not find_spec(name)]
    if missing:
        raise ImportError(f"{' and '.join(missing)} not installed: `pip install {' '.join(missing)}`")


def write(table: Path, file: Path, account: dict[str, Any], *, dtype: Dtype, min_tissue: float) -> int:
    """Writes the patches of one slide whole or not at all; returns their number."""
    import h5py

    part = file.with_name(f".{file.name}.part")
    try:
        with h5py.File(part, "w") as out:
            written = _write_rows(out, table, account, dtype, min_tissue)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return written


def _write_rows(out: Any, table: Path, account: dict[str, Any], dtype: Dtype, min_tissue: float) -> int:
    import numpy

    length = account["analysis"]["patches"]["dimensions"]
    growing = {"shape": (0, length), "maxshape": (None, length), "chunks": (256, length)}
    features = out.create_dataset("features", dtype=dtype, **growing)
    coords = out.create_dataset("coords", shape=(0, 2), maxshape=(None, 2), dtype="int64", chunks=(4096, 2))
    written, sides = 0, (0.0, 0.0)
    for corners, vectors, sides in _rows(table, length, min_tissue):
        for place, rows in ((coords, numpy.rint(corners)), (features, vectors)):
            place.resize(written + len(rows), axis=0)
            place[written:] = rows
        written += len(vectors)
    features.attrs.update(_of_features(account))
    coords.attrs.update(_of_coords(account, sides, coords[:]))
    return written


def _rows(table: Path, length: int, min_tissue: float) -> Iterator[tuple[Any, Any, tuple[float, float]]]:
    """Corners (level-0 px) and vectors of some rows at a time, with the width of each patch in px and µm."""
    import numpy
    import pyarrow.parquet

    for batch in pyarrow.parquet.ParquetFile(table).iter_batches(4096, columns=_COLUMNS):
        column = {name: batch.column(name) for name in _COLUMNS}
        if not len(batch):
            continue
        chosen = column["tissue"].to_numpy(zero_copy_only=False) >= min_tissue
        corners = [column[name].to_numpy(zero_copy_only=False) for name in ("left_px", "top_px")]
        vectors = column["embedding"].flatten().to_numpy(zero_copy_only=False).reshape(-1, length)
        sides = (column["width_px"][0].as_py(), column["width_um"][0].as_py())
        yield numpy.stack(corners, axis=1)[chosen], vectors[chosen], sides


def _of_features(account: dict[str, Any]) -> dict[str, Any]:
    model = account["model"]
    facts = {"name": account["slide"], "encoder": model["name"], "encoder_sha256": model["sha256"]}
    return {**facts, "outcome": account["outcome"], "slidemill": account["slidemill"]}


def _of_coords(account: dict[str, Any], sides: tuple[float, float], corners: Any) -> dict[str, Any]:
    """What TRIDENT writes beside corners, but for the folder, which is this machine's."""
    analysis = account["analysis"]
    width_px, width_um = sides
    patch = round(width_um / analysis["model_mpp"])
    step = _step(corners, width_px)
    return {
        "name": account["slide"],
        "patch_size": patch,
        "patch_size_level0": round(width_px),
        "level0_magnification": _magnification(analysis["mpp"]),
        "target_magnification": _magnification(analysis["model_mpp"]),
        "overlap": round(patch * (1 - step / width_px)) if width_px else 0,
        "mpp_level0": analysis["mpp"],
        "mpp": analysis["model_mpp"],
    }


def _step(corners: Any, width_px: float) -> float:
    """From one patch to the next along a row or column, at most a patch."""
    import numpy

    steps = [numpy.diff(numpy.unique(corners[:, axis])) for axis in (0, 1)]
    return min([width_px, *(float(each.min()) for each in steps if len(each))])


def _magnification(mpp: float) -> int:
    """The nominal magnification that is nearest to 10 µm over the mpp, by their ratio."""
    return min(_NOMINAL, key=lambda nominal: abs(math.log(nominal * mpp / 10)))
