"""Judges a model on annotated fields: centroids within 3 um, one to one.

The whole field goes through at once, at ``data.MODEL_MPP``. Detections are taken
by falling score; each takes the nearest free true nucleus within reach, the same
rule as `slidemill eval --match distance:3um`. Truth includes nuclei cut by the
field's border.

    python evaluate.py --model ../nuclei-he/nuclei-he.onnx
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

import data

REACH_PX = 3.0 / data.MODEL_MPP
"""How far a detection may lie from the true centroid: 3 um, in pixels."""

FLOOR = 0.05
"""Scores below this are never looked at."""

EXACT = ("tnbc", "dsb2018")
"""Sets whose truth is complete: the working threshold is chosen on their dev parts.
The dots of brca_m2c leave some nuclei out, so its precision is a lower bound."""

Predict = Callable[[np.ndarray], np.ndarray]
"""Picture uint8 [H, W, 3] to head output [4 + C, N] as YOLOv8 lays it out."""


@dataclass
class Detections:
    """``boxes`` [K, 4] corners in pixels, ``scores`` [K] falling, ``classes`` [K]."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    @property
    def centres(self) -> np.ndarray:
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2


def padded(image: np.ndarray, multiple: int) -> np.ndarray:
    """Mirrored at the right and bottom up to whole multiples."""
    h, w = image.shape[:2]
    return np.pad(image, ((0, -h % multiple), (0, -w % multiple), (0, 0)), mode="reflect")


def suppress(boxes: np.ndarray, scores: np.ndarray, limit: float) -> np.ndarray:
    """Greedy NMS by IoU; rows that stay, best first. Neighbours come from a tree of
    centres, since two boxes overlap only if their centres are within their sizes."""
    order = np.argsort(-scores, kind="stable")
    boxes = boxes[order]
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = boxes[:, :2] + sides / 2
    tree = cKDTree(centres)
    gone = np.zeros(len(boxes), bool)
    area = sides.prod(1)
    for i in range(len(boxes)):
        if gone[i]:
            continue
        near = np.array(tree.query_ball_point(centres[i], sides[i].max()), int)
        near = near[(near > i) & ~gone[near]]
        low = np.maximum(boxes[i, :2], boxes[near, :2])
        high = np.minimum(boxes[i, 2:], boxes[near, 2:])
        inter = np.clip(high - low, 0, None).prod(1)
        gone[near[inter > limit * (area[i] + area[near] - inter)]] = True
    return order[~gone]


def detections(output: np.ndarray, size: tuple[int, int], floor: float, nms_iou: float) -> Detections:
    """Decodes one head output [4 + C, N]; drops what lies outside the (w, h) picture."""
    scores, classes = output[4:].max(0), output[4:].argmax(0)
    keep = (scores >= floor) & (output[0] < size[0]) & (output[1] < size[1])
    output, scores, classes = output[:, keep], scores[keep], classes[keep]
    half = output[2:4] / 2
    boxes = np.vstack([output[:2] - half, output[:2] + half]).T
    rows = suppress(boxes, scores, nms_iou)
    return Detections(boxes[rows], scores[rows], classes[rows])


def match(found: np.ndarray, truth: np.ndarray, reach: float = REACH_PX) -> np.ndarray:
    """For detections in falling score: index of the true object each takes, or -1."""
    taken = np.zeros(len(truth), bool)
    result = np.full(len(found), -1)
    if len(truth) == 0 or len(found) == 0:
        return result
    for i, near in enumerate(cKDTree(truth).query_ball_point(found, reach)):
        free = [j for j in near if not taken[j]]
        if free:
            j = min(free, key=lambda k: float(np.sum((truth[k] - found[i]) ** 2)))
            taken[j], result[i] = True, j
    return result


@dataclass
class Curve:
    """Pooled over fields: scores falling, whether each is right, number of truths."""

    scores: np.ndarray
    right: np.ndarray
    truths: int

    def at(self, threshold: float) -> dict[str, float]:
        """Precision, recall, F1 and count error at a score threshold."""
        kept = self.scores >= threshold
        hits, total = int(self.right[kept].sum()), int(kept.sum())
        return {
            "threshold": round(float(threshold), 4),
            "precision": hits / max(total, 1),
            "recall": hits / max(self.truths, 1),
            "f1": 2 * hits / max(total + self.truths, 1),
            "count_error": total / max(self.truths, 1) - 1,
        }

    def best(self) -> dict[str, float]:
        """The threshold of best F1."""
        return max((self.at(t) for t in np.arange(0.05, 0.95, 0.01)), key=lambda r: r["f1"])

    def ap(self) -> float:
        """Area under the interpolated precision-recall curve (all points)."""
        hits = np.cumsum(self.right)
        recall = np.concatenate([[0], hits / max(self.truths, 1)])
        precision = hits / np.arange(1, len(hits) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float(np.sum(np.diff(recall) * envelope))


def run(predict: Predict, fields: list[data.Field], multiple: int, nms_iou: float) -> list[Detections]:
    """Detections of every field, at ``FLOOR``."""
    results = []
    for item in fields:
        image = data.at_model_mpp(item)
        output = predict(padded(image, multiple))
        results.append(detections(output, (image.shape[1], image.shape[0]), FLOOR, nms_iou))
    return results


def curve(found: list[Detections], fields: list[data.Field], class_id: int | None = None) -> Curve:
    """Matches every field by itself and pools; one class only if ``class_id`` is given."""
    scores, right, truths = [], [], 0
    for result, item in zip(found, fields):
        truth, kept = data.truth_centres(item), np.ones(len(result.scores), bool)
        if class_id is not None:
            truth, kept = truth[item.classes == class_id], result.classes == class_id
        scores.append(result.scores[kept])
        right.append(match(result.centres[kept], truth) >= 0)
        truths += len(truth)
    all_scores, all_right = np.concatenate(scores), np.concatenate(right)
    order = np.argsort(-all_scores, kind="stable")
    return Curve(all_scores[order], all_right[order], truths)


def mean_box_iou(found: list[Detections], fields: list[data.Field], threshold: float) -> float:
    """Mean IoU of the boxes of detections at ``threshold`` with the boxes of the nuclei
    they take; fields with masks only."""
    shares = []
    for result, item in zip(found, fields):
        kept = result.scores >= threshold
        taken = match(result.centres[kept], data.truth_centres(item))
        ours, theirs = result.boxes[kept][taken >= 0], data.truth_boxes(item)[taken[taken >= 0]]
        sides = np.minimum(ours[:, 2:], theirs[:, 2:]) - np.maximum(ours[:, :2], theirs[:, :2])
        shared = np.clip(sides, 0, None).prod(1)
        both = (ours[:, 2:] - ours[:, :2]).prod(1) + (theirs[:, 2:] - theirs[:, :2]).prod(1)
        shares.append(shared / (both - shared))
    return float(np.mean(np.concatenate(shares)))


def class_figures(found: list[Detections], fields: list[data.Field], threshold: float) -> dict:
    """F1 per class and their mean, at the best single threshold and at ``threshold``."""
    curves = [curve(found, fields, c) for c in range(max(int(f.classes.max()) for f in fields) + 1)]

    def macro(at: float) -> float:
        return float(np.mean([c.at(at)["f1"] for c in curves]))

    best = max(np.arange(0.05, 0.9, 0.01), key=macro)
    return {
        "per_class": [c.at(threshold) for c in curves],
        "macro_f1": macro(threshold),
        "best_macro_f1": macro(best),
        "best_threshold": round(float(best), 4),
    }


def confusion(found: list[Detections], fields: list[data.Field], classes: int) -> np.ndarray:
    """Counts [classes + 1, classes + 1] of all detections given, matched whatever their
    class: true class down (last: no object there), class found across (last: missed)."""
    table = np.zeros((classes + 1, classes + 1), int)
    for result, item in zip(found, fields):
        taken = match(result.centres, data.truth_centres(item))
        true = np.where(taken >= 0, item.classes[taken], classes)
        np.add.at(table, (true, result.classes), 1)
        missed = np.setdiff1d(np.arange(len(item.classes)), taken)
        np.add.at(table, (item.classes[missed], classes), 1)
    return table


def working_threshold(curves: list[Curve]) -> float:
    """One threshold for all sets: best mean F1 less a third of the mean count error."""

    def merit(threshold: float) -> float:
        rows = [c.at(threshold) for c in curves]
        return float(np.mean([r["f1"] - abs(r["count_error"]) / 3 for r in rows]))

    return float(max(np.arange(0.1, 0.8, 0.01), key=merit))


def onnx_predictor(path: Path, threads: int = 0) -> Predict:
    """Runs an exported model with ONNX Runtime on the CPU; mask coefficients are left out."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def predict(image: np.ndarray) -> np.ndarray:
        tensor = image.transpose(2, 0, 1)[None].astype(np.float32) / 255
        answers, *prototypes = session.run(None, {"images": tensor})
        rows = answers.shape[1] - sum(p.shape[1] for p in prototypes)
        return answers[0, :rows]

    return predict


def dev_sets(root: Path) -> dict[str, list[data.Field]]:
    """The fields a model is judged on; nothing here is trained on."""
    sets = {name: data.load_mask_set(root, name, "dev") for name in ("tnbc", "dsb2018")}
    return sets | {"brca_m2c": data.load_dot_set(root, "dev")}


def report(
    predict: Predict, sets: dict[str, list[data.Field]], multiple: int, nms_iou: float, conf: float | None
) -> dict:
    """Figures per set at the working threshold (chosen here when ``conf`` is None)."""
    found = {name: run(predict, fields, multiple, nms_iou) for name, fields in sets.items()}
    curves = {name: curve(found[name], fields) for name, fields in sets.items()}
    exact = [c for name, c in curves.items() if name in EXACT]
    threshold = working_threshold(exact) if conf is None else conf
    figures = {
        name: {"ap": c.ap(), "truths": c.truths, "working": c.at(threshold), "best": c.best()}
        for name, c in curves.items()
    }
    for name in EXACT:
        if name in sets:
            figures[name]["box_iou"] = mean_box_iou(found[name], sets[name], threshold)
    for name, results in found.items():
        if any(len(r.classes) and r.classes.max() > 0 for r in results):
            if any(len(f.classes) for f in sets[name]):
                figures[name]["classes"] = class_figures(results, sets[name], threshold)
    return figures


def line(figures: dict) -> str:
    """One line of a report, for logs."""
    parts = []
    for name, f in figures.items():
        w, b = f["working"], f["best"]
        parts.append(
            f"{name}: F1 {w['f1']:.3f} P {w['precision']:.3f} R {w['recall']:.3f} "
            f"count {w['count_error']:+.1%} at {w['threshold']:.2f}, best {b['f1']:.3f} at {b['threshold']:.2f}, AP {f['ap']:.3f}"
        )
        if "classes" in f:
            c = f["classes"]
            each = " ".join(f"{row['f1']:.3f}" for row in c["per_class"])
            parts[-1] += (
                f", per class {each}, macro {c['macro_f1']:.3f} (best {c['best_macro_f1']:.3f} at {c['best_threshold']:.2f})"
            )
    return " | ".join(parts)


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=here.parent / "nuclei-he" / "nuclei-he.onnx")
    parser.add_argument("--data", type=Path, default=here.parents[2] / "shared" / "nuclei")
    parser.add_argument("--conf", type=float, help="working threshold; default: the model's own")
    parser.add_argument("--nms-iou", type=float, help="default: the model's own")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    import onnx

    meta = {p.key: p.value for p in onnx.load(str(args.model)).metadata_props}
    conf = args.conf if args.conf is not None else float(meta["conf"])
    nms_iou = args.nms_iou if args.nms_iou is not None else float(meta["nms_iou"])
    figures = report(onnx_predictor(args.model), dev_sets(args.data), int(meta["stride"]), nms_iou, conf)
    print(json.dumps(figures, indent=1) if args.json else line(figures).replace(" | ", "\n"))


if __name__ == "__main__":
    main()
