"""Turns dots into boxes with a model that has only seen masks.

    python pseudo.py --weights RUN/best.pt --out boxes.json

Each dot takes the best-scored box whose middle lies within 2.5 um of it; a dot that
finds none keeps a box of the median size that teaches its centre only. Confident
boxes without a dot become areas to ignore: the annotators left some nuclei out.
The file maps field ids to ``boxes``, ``measured`` and ``ignore`` (pixels of the
model's grid), for ``train.py --dot-boxes``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

import data
import evaluate
import export
import net
import train

REACH_PX = 2.5 / data.MODEL_MPP
SURE, LEAST = 0.45, 0.08
"""Score from which a box without a dot is ignored rather than background, and the
least score of a box that a dot may take."""


def boxes_for(item: data.Field, found: evaluate.Detections) -> dict[str, list]:
    """One field's dots with the boxes they took (pairs of least total distance)."""
    dots = data.truth_centres(item)
    keep = found.scores >= LEAST
    boxes, scores, centres = found.boxes[keep], found.scores[keep], found.centres[keep]
    distance = np.linalg.norm(dots[:, None] - centres[None], axis=-1)
    cost = np.where(distance <= REACH_PX, distance - 2 * scores, 1e3)
    rows, columns = linear_sum_assignment(cost)
    near = cost[rows, columns] < 1e3
    rows, columns = rows[near], columns[near]
    half = data.DOT_BOX_PX / 2
    result = np.hstack([dots - half, dots + half])
    result[rows] = boxes[columns]
    measured = np.zeros(len(dots), bool)
    measured[rows] = True
    spare = np.setdiff1d(np.flatnonzero(scores >= SURE), columns)
    return {
        "boxes": result.round(2).tolist(),
        "measured": measured.tolist(),
        "ignore": boxes[spare].round(2).tolist(),
    }


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=here.parents[2] / "shared" / "nuclei")
    args = parser.parse_args()
    model = export.load([args.weights])
    fields = [field for name in data.DOT_SETS for field in data.load_both(args.data, name, -1)]
    found = evaluate.run(train.predictor(model, torch.device("cpu")), fields, net.MAX_STRIDE, 0.45)
    table = {item.name: boxes_for(item, result) for item, result in zip(fields, found)}
    args.out.write_text(json.dumps(table))
    dots = sum(len(t["boxes"]) for t in table.values())
    took = sum(sum(t["measured"]) for t in table.values())
    print(f"{took} of {dots} dots took a box; {sum(len(t['ignore']) for t in table.values())} boxes ignored")


if __name__ == "__main__":
    main()
