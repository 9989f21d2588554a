"""Crops drawn once for several trainings.

Processes that draw put their crops into a folder, the ring, best in memory: a file for
each handful, the oldest making room for the newest. Every training reads all of them
and keeps the crops that show no field it holds back. So a cross-validation draws each crop
once, and its trainings do not wait for one another: who is quicker than the drawing sees a crop
again (in other stains: those are drawn in each training), who is slower misses some. What
a training sees hangs on the clock; a run that is to be repeated draws its own crops.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import cv2
import numpy as np

import data

EACH = 16
"""Crops in a file."""

FILES = 320
"""Files in a ring: about 1.1 GB with crops of 256 px."""

ROOM = 3 << 30
"""Free bytes that a place in memory must have to take a ring."""

PATIENCE_S = 120.0
"""A ring in which nothing appears for so long will never hold anything."""


def place() -> Path:
    """Where rings are made: in memory if there is room."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= ROOM
    return memory if roomy else Path(tempfile.gettempdir())


def shared_fields(args: Namespace, folds: int) -> tuple[list[data.Field], list[tuple]]:
    """All annotated fields, and for each its part: fields of one part are of one set and held
    back by the same trainings, the folds' and that of the sets' own split."""
    fields, parts = [], []
    for name in [n for n, weight in args.sets.items() if weight > 0]:
        dev = {f.key for f in data.load_set(args.data, name, "dev", -1, args.dot_boxes)}
        ours = data.load_both(args.data, name, -1, args.dot_boxes)
        held = {f.key: k for k in range(folds) for f in data.Fold(k, folds).divide(ours)[1]}
        fields += ours
        parts += [(name, held[f.key], f.key in dev) for f in ours]
    return fields, parts


@dataclass(frozen=True)
class Ring:
    """Files of crops in a folder."""

    folder: Path

    def put(self, number: int, crops: list[data.Crop]) -> None:
        """Adds file ``number``, whole or not at all, in the place of the one ``FILES`` before it."""
        part = self.folder / f"{number:09d}.part"
        part.write_bytes(pickle.dumps(crops, protocol=5))
        part.rename(part.with_suffix(".crops"))
        (self.folder / f"{number - FILES:09d}.crops").unlink(missing_ok=True)

    def names(self) -> list[str]:
        return [name for name in os.listdir(self.folder) if name.endswith(".crops")]

    def drawn(self) -> int:
        """Crops that were drawn so far, or a few less."""
        return EACH * (1 + max((int(Path(name).stem) for name in self.names()), default=-1))

    def handfuls(self, seed: int) -> Iterator[list[data.Crop]]:
        """Files without end: one not read before if there is one, else any."""
        rng, read, since = np.random.default_rng(seed), set(), time.time()
        while True:
            names = self.names()
            read &= set(names)
            fresh = [name for name in names if name not in read] or names
            if not fresh:
                if time.time() - since > PATIENCE_S:
                    raise SystemExit(f"{self.folder}: no crops in {PATIENCE_S:.0f} s; look at what the drawing said")
                time.sleep(0.1)
                continue
            name = fresh[rng.integers(len(fresh))]
            read.add(name)
            try:
                crops = pickle.loads((self.folder / name).read_bytes())
            except FileNotFoundError:
                continue
            yield crops

    def batches(self, own: set[str], size: int, seed: int) -> Iterator[list[data.Crop]]:
        """``size`` crops at a time that show none but the fields ``own``."""
        kept: list[data.Crop] = []
        for crops in self.handfuls(seed):
            kept += [crop for crop in crops if own.issuperset(crop.fields)]
            while len(kept) >= size:
                yield kept[:size]
                kept = kept[size:]


def fill(folder: Path, crops: data.Crops, number: int, of: int) -> None:
    """Draws for good: every ``of``-th file, from ``number`` on."""
    cv2.setNumThreads(1)
    parent = os.getppid()
    while os.getppid() == parent:
        Ring(folder).put(number, [crops[number * EACH + i] for i in range(EACH)])
        number += of


def start(folder: Path, crops: data.Crops, drawers: int) -> list[BaseProcess]:
    """Starts drawing side by side; the processes end with this one at the latest."""
    for item in crops.fields:
        item.prepare()
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=fill, args=(folder, crops, number, drawers), daemon=True) for number in range(drawers)
    ]
    for process in processes:
        process.start()
    return processes
