"""What each choice of the recipe is worth: equal short runs, one after the other.

    python ablation.py --out RUNS/ablation

Every run starts from nothing, sees as many crops and ends with its learning rate near
zero; the averaged weights of its end are judged. A run that is there already is not
run again, so that a killed script goes on. The recipe itself is run with several
seeds: what differs less than those do is noise. Prints a table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch

COMMON = "--ema 0.99 --warmup 40 --lr 2e-3 --threads 1"

CHOICES = {
    "the recipe": "",
    "stain augmentation off": "--stain 0 --vector 0",
    "head at stride 8": "--head-stride 8",
    "box loss GIoU": "--box-loss giou",
    "box loss WIoU": "--box-loss wiou",
    "score loss varifocal": "--score-loss varifocal",
    "score loss BCE": "--score-loss bce",
}
"""What is changed, and how."""

SHOWN = {
    "tnbc F1": ("tnbc", "working", "f1"),
    "tnbc AP": ("tnbc", "ap"),
    "tnbc box IoU": ("tnbc", "box_iou"),
    "dsb2018 F1": ("dsb2018", "working", "f1"),
    "dsb2018 AP": ("dsb2018", "ap"),
    "brca_m2c F1, best": ("brca_m2c", "best", "f1"),
    "brca_m2c AP": ("brca_m2c", "ap"),
}
"""Columns, and where they are in a report of :mod:`evaluate`."""


def folder(out: Path, choice: str, seed: int) -> Path:
    """Where one run lies."""
    return out / f"{choice.lower().replace(' ', '-')}-{seed}"


def run(out: Path, choice: str, seed: int, steps: int) -> None:
    """One training run, unless it is there."""
    place = folder(out, choice, seed)
    if finished(place, steps):
        return
    options = f"--out {place} --seed {seed} --steps {steps} --every {steps} {COMMON} {CHOICES[choice]}"
    train = Path(__file__).with_name("train.py")
    subprocess.run([sys.executable, str(train), *options.split()], check=True)


def finished(place: Path, steps: int) -> bool:
    """Whether the run in ``place`` reached its last step."""
    last = place / "last.pt"
    return last.exists() and torch.load(last, map_location="cpu")["step"] >= steps


def figure(report: dict, path: tuple[str, ...]) -> float:
    """One number of a nested report."""
    for key in path:
        report = report[key]
    return float(report)


def row(out: Path, choice: str, seed: int, steps: int) -> str:
    """One line of the table."""
    report = torch.load(folder(out, choice, seed) / "last.pt", map_location="cpu")["figures"]
    cells = " | ".join(f"{figure(report, path):.3f}" for path in SHOWN.values())
    return f"| {choice}, seed {seed} | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="the first is that of all choices")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--table", action="store_true", help="print the table of what is finished")
    args = parser.parse_args()
    first, *more = args.seeds
    runs = [(choice, first) for choice in CHOICES] + [(next(iter(CHOICES)), seed) for seed in more]
    for choice, seed in runs:
        if not args.table:
            run(args.out, choice, seed, args.steps)
    print("| choice | " + " | ".join(SHOWN) + " |")
    print("| --- " * (len(SHOWN) + 1) + "|")
    for choice, seed in runs:
        if finished(folder(args.out, choice, seed), args.steps):
            print(row(args.out, choice, seed, args.steps))


if __name__ == "__main__":
    main()
