"""Cross-validation over all annotated fields, and the networks to ship, in one go.

    python crossval.py run --out RUNS/cv --minutes 6 --classes 3 --batch 32
    python crossval.py judge --out RUNS/cv

``run`` trains once for each fold, each holding back a third of the patients of every
set (of the fields, where a set tells no patients), once on the sets' own train split,
and once on everything. All at the same time: one GPU has room for them, and every crop is
drawn once for all of them (ring.py), by the cores that they leave. Options that are not its own go
to train.py. ``--init-from RUNS/earlier`` starts each from what it was there, ``--runs`` leaves
some out, ``--further brown "--dab 0.5"`` adds one on the train split with options of its own.
``judge`` gives the table: every field is judged by the network that has not seen it,
at one threshold for all sets; mean, least and most over the folds.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import data
import evaluate
import export
import net
import ring
import train

FOLDS = 3
SETS = (*evaluate.EXACT, *data.DOT_SETS)


@dataclass(frozen=True)
class Run:
    """One of the trainings: its folder's name, and what train.py is told for it."""

    name: str
    words: tuple[str, ...]


RUNS = [
    *(Run(f"fold{k}", ("--fold", f"{k}/{FOLDS}")) for k in range(FOLDS)),
    Run("given", ()),
    Run("all", ("--all-fields",)),
]


def chosen(args: argparse.Namespace) -> list[Run]:
    """The trainings asked for."""
    further = [Run(name, tuple(shlex.split(words))) for name, words in args.further]
    return [each for each in RUNS if each.name in args.runs] + further


def run_all(args: argparse.Namespace) -> int:
    """All trainings side by side, and the drawing for them; the number that failed."""
    runs = chosen(args)
    common = ["--data", args.data, "--threads", 1, *args.rest]
    drawers = args.drawers or max(1, (os.cpu_count() or 1) - len(runs))
    with tempfile.TemporaryDirectory(dir=ring.place(), prefix="crops-") as folder:
        settings = train.arguments([str(word) for word in ["--out", args.out, *common]])
        fields, parts = ring.shared_fields(settings, FOLDS)
        drawing = ring.start(Path(folder), train.crops_of(fields, settings, train.ENDLESS, parts), drawers)
        left = args.minutes - (time.time() - train.STARTED) / 60
        common += ["--minutes", f"{left:.3f}", "--ring", folder]
        running = [
            train_one(args.out / each.name, number, each, common, args.init_from)
            for number, each in enumerate(runs, start=1)
        ]
        failed = [each.name for each, process in zip(runs, running) if process.wait() != 0]
        failed += [f"drawing {number}" for number, process in enumerate(drawing) if process.exitcode is not None]
        drawn = ring.Ring(Path(folder)).drawn()
        for process in drawing:
            process.terminate()
            process.join()
    for each in runs:
        print(f"{each.name}: {(args.out / each.name / 'log.txt').read_text()[-600:]}", flush=True)
    print(f"{drawn} crops drawn; failed: {', '.join(failed) or 'none'}", flush=True)
    return len(failed)


def train_one(place: Path, seed: int, run: Run, common: list, init_from: Path | None) -> subprocess.Popen:
    """Starts one training."""
    place.mkdir(parents=True, exist_ok=True)
    init = ["--init", init_from / run.name / "best.pt"] if init_from else []
    words = [*common, "--out", place, "--seed", seed, *init, *run.words]
    command = [sys.executable, str(Path(__file__).with_name("train.py")), *map(str, words)]
    with open(place / "log.txt", "w") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


@dataclass
class Judged:
    """What one fold's network found in the fields it has not seen, by set, and how it compares."""

    fields: dict[str, list[data.Field]]
    found: dict[str, list[evaluate.Detections]]
    curves: dict[str, evaluate.Curve]


def held_back(root: Path, fold: data.Fold) -> dict[str, list[data.Field]]:
    """Fields of each set that a fold holds back."""
    return {name: fold.divide(data.load_both(root, name, -1))[1] for name in SETS}


def judge_fold(
    root: Path, number: int, weights: list[Path], nms_iou: float, shares: list[float] | None = None
) -> Judged:
    """What the mean of these weights, all of networks that have not seen the fold, finds there."""
    fields = held_back(root, data.Fold(number, FOLDS))
    predict = train.predictor(export.load(weights, shares=shares), torch.device("cpu"))
    found = {n: evaluate.run(predict, f, net.MAX_STRIDE, nms_iou) for n, f in fields.items()}
    return Judged(fields, found, {n: evaluate.curve(found[n], f) for n, f in fields.items()})


def spread(values: list[float], form: str) -> str:
    """Mean, and the least and the most."""
    return f"{np.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def rows_of(folds: list[Judged], threshold: float) -> dict[str, dict[str, str]]:
    """For each set its figures over the folds, in words."""
    table = {}
    for name in SETS:
        curves = [fold.curves[name] for fold in folds]
        at = [curve.at(threshold) for curve in curves]
        pooled = sum((1 + a["count_error"]) * curve.truths for a, curve in zip(at, curves))
        truths = sum(curve.truths for curve in curves)
        table[name] = {
            "F1": spread([a["f1"] for a in at], ".3f"),
            "count": f"{pooled / truths - 1:+.1%}, by fold {spread([a['count_error'] for a in at], '+.1%')}",
            "AP": spread([curve.ap() for curve in curves], ".3f"),
        }
        classes = [
            evaluate.class_figures(fold.found[name], fold.fields[name], threshold)
            for fold in folds
            if any((f.classes >= 0).any() for f in fold.fields[name]) and max(r.classes.max() for r in fold.found[name]) > 0
        ]
        if classes:
            table[name]["macro F1"] = spread([c["macro_f1"] for c in classes], ".3f")
            each = zip(*([row["f1"] for row in c["per_class"]] for c in classes))
            table[name]["by class"] = ", ".join(spread(list(values), ".3f") for values in each)
    return table


def judge(args: argparse.Namespace) -> None:
    """The table of one network over all folds, and its threshold."""
    runs, shares = [args.out], None
    if args.mean_with:
        runs, shares = [args.out, args.mean_with], [1 - args.share, args.share]
    folds = [
        judge_fold(args.data, k, [run / f"fold{k}" / args.network / "best.pt" for run in runs], args.nms_iou, shares)
        for k in range(FOLDS)
    ]
    exact = [fold.curves[name] for fold in folds for name in evaluate.EXACT]
    threshold = evaluate.working_threshold(exact) if args.conf is None else args.conf
    print(f"threshold {threshold:.2f}")
    for name, row in rows_of(folds, threshold).items():
        print(f"{name}: " + "; ".join(f"{what} {value}" for what, value in row.items()))


def main() -> int:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("what", choices=["run", "judge"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=here.parents[2] / "shared" / "nuclei")
    parser.add_argument("--minutes", type=float, default=6.0, help="until the trainings end and are saved")
    parser.add_argument("--init-from", type=Path, help="folder of an earlier run: each training starts from NAME/best.pt in it")
    parser.add_argument("--runs", nargs="*", default=[each.name for each in RUNS], help="names of the trainings to run")
    parser.add_argument(
        "--further", nargs=2, action="append", default=[], metavar=("NAME", "OPTIONS"),
        help="one more training, on the train split, with options of its own",
    )
    parser.add_argument("--drawers", type=int, default=0, help="processes that draw crops; 0: the cores that trainings leave")
    parser.add_argument("--network", default="", help="student1 …: judge this one instead of the first")
    parser.add_argument("--mean-with", type=Path, help="judge the mean of these weights and those of an earlier run")
    parser.add_argument("--share", type=float, default=0.2, help="what the earlier run weighs in that mean")
    parser.add_argument("--conf", type=float, help="threshold; default: chosen on what is held back")
    parser.add_argument("--nms-iou", type=float, default=0.4)
    args, args.rest = parser.parse_known_args()
    if args.what == "run":
        return run_all(args)
    judge(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
