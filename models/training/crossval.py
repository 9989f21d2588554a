"""Cross-validation over all annotated fields, and the networks to ship, in one go.

    python crossval.py run --out RUNS/cv --minutes 6 --classes 3 --batch 32
    python crossval.py judge --out RUNS/cv

``run`` trains once for each fold, each holding back a third of the patients of every
set (of the fields, where a set tells no patients), once on the sets' own train split,
and once on everything. All at the same time: one GPU has room for them, and drawing crops
takes the most time, which many cores share. Options that are not its own go to train.py.
``judge`` gives the table: every field is judged by the network that has not seen it,
at one threshold for all sets; mean, least and most over the folds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import data
import evaluate
import export
import net
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


def run_all(args: argparse.Namespace) -> int:
    """All trainings side by side; the number that failed."""
    workers = max(1, round((os.cpu_count() or 1) / len(RUNS)))
    script = str(Path(__file__).with_name("train.py"))
    running = []
    for number, each in enumerate(RUNS, start=1):
        place = args.out / each.name
        place.mkdir(parents=True, exist_ok=True)
        words = [*each.words, "--out", place, "--seed", number, "--minutes", args.minutes, "--workers", workers]
        words += ["--data", args.data, "--threads", 1, *args.rest]
        with open(place / "log.txt", "w") as log:
            command = [sys.executable, script, *map(str, words)]
            running.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
    failed = [each.name for each, process in zip(RUNS, running) if process.wait() != 0]
    for each in RUNS:
        print(f"{each.name}: {(args.out / each.name / 'log.txt').read_text()[-600:]}", flush=True)
    return len(failed)


@dataclass
class Judged:
    """What one fold's network found in the fields it has not seen, by set, and how it compares."""

    fields: dict[str, list[data.Field]]
    found: dict[str, list[evaluate.Detections]]
    curves: dict[str, evaluate.Curve]


def held_back(root: Path, fold: data.Fold) -> dict[str, list[data.Field]]:
    """Fields of each set that a fold holds back."""
    return {name: fold.divide(data.load_both(root, name, -1))[1] for name in SETS}


def judge_fold(root: Path, number: int, weights: Path, nms_iou: float) -> Judged:
    fields = held_back(root, data.Fold(number, FOLDS))
    predict = train.predictor(export.load([weights]), torch.device("cpu"))
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
    folds = [
        judge_fold(args.data, k, args.out / f"fold{k}" / args.network / "best.pt", args.nms_iou) for k in range(FOLDS)
    ]
    exact = [fold.curves[name] for fold in folds for name in evaluate.EXACT]
    threshold = evaluate.working_threshold(exact) if args.conf is None else args.conf
    print(f"threshold {threshold:.2f}")
    for name, row in rows_of(folds, threshold).items():
        print(f"{name}: " + "; ".join(f"{what} {value}" for what, value in row.items()))


def main() -> int:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "judge"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=here.parents[2] / "shared" / "nuclei")
    parser.add_argument("--minutes", type=float, default=6.0, help="of each training")
    parser.add_argument("--network", default="", help="student1 …: judge this one instead of the first")
    parser.add_argument("--conf", type=float, help="threshold; default: chosen on what is held back")
    parser.add_argument("--nms-iou", type=float, default=0.4)
    args, args.rest = parser.parse_known_args()
    if args.what == "run":
        return run_all(args)
    judge(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
