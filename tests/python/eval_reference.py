"""What other programs say of seeded random cases, for `eval/tests/reference.rs`.

    python eval_reference.py --out FOLDER
    python eval_reference.py --out FOLDER --coco TRUTH RESULTS

The second form judges two COCO files of boxes and writes FOLDER/coco.json. The first writes FOLDER/eval.json:

    coco        average precision of boxes and masks by pycocotools, with crowds and areas
    ranking     precision, recall, average precision, ROC area, calibration by scikit-learn
    froc        a plain reference: counts at every threshold, by hand
    panoptic    a plain reference on label maps, by the rules of panopticapi
    dbscan      labels by scikit-learn
    kappa       Cohen's kappa by scikit-learn, Fleiss' by its formula
    assignment  optimal one-to-one matches by SciPy
    weights     balanced class weights by scikit-learn
"""

import argparse
import contextlib
import copy
import io
import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.calibration import calibration_curve
from sklearn.cluster import DBSCAN
from sklearn.metrics import cohen_kappa_score, precision_recall_curve, roc_auc_score
from sklearn.utils.class_weight import compute_class_weight

AREAS = [[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]]
SIZE = 400


def random_boxes(random, count):
    """x, y, width, height; on quarter pixels, so that binary fractions hold them."""
    corner = random.integers(0, 4 * (SIZE - 130), (count, 2)) / 4
    side = random.integers(4 * 8, 4 * 120, (count, 2)) / 4
    return np.hstack([corner, side])


def random_mask(random, count):
    """Ellipses as masks, by their centres."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for _ in range(count):
        x, y = random.integers(40, SIZE - 40, 2)
        a, b = random.integers(5, 60, 2)
        yield ((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 <= 1


def plain_counts(mask):
    """COCO's run lengths, column by column, as a list."""
    flat = mask.flatten(order="F").astype(np.int8)
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist() + [flat.size]
    return {"size": [SIZE, SIZE], "counts": np.diff([0] + changes).tolist()}


def packed_counts(mask):
    """The same as pycocotools packs them."""
    run = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [SIZE, SIZE], "counts": run["counts"].decode()}


def coco_case(seed, masks):
    """Truth and results, half of them near a truth object; scores with many ties."""
    random = np.random.default_rng(seed)
    images = [{"id": 10 + i, "file_name": f"{i}.png", "width": SIZE, "height": SIZE} for i in range(6)]
    categories = [{"id": 3, "name": "a"}, {"id": 5, "name": "b"}, {"id": 9, "name": "never there"}]
    annotations, results = [], []
    for image in images:
        count = int(random.integers(0, 14))
        truth = list(random_mask(random, count)) if masks else random_boxes(random, count)
        for shape in truth:
            category = int(random.choice([3, 5]))
            crowd = int(random.random() < 0.15)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image["id"],
                "category_id": category,
                "iscrowd": crowd,
            }
            if masks:
                annotation["segmentation"] = plain_counts(shape)
                annotation["area"] = float(shape.sum())
                annotation["bbox"] = coco_mask.toBbox(
                    coco_mask.encode(np.asfortranarray(shape.astype(np.uint8)))
                ).tolist()
            else:
                annotation["bbox"] = shape.tolist()
                annotation["area"] = float(shape[2] * shape[3])
            annotations.append(annotation)
            for _ in range(int(random.integers(0, 3))):
                shift = random.integers(-12, 13, 2)
                if masks:
                    moved = np.roll(shape, tuple(shift), (0, 1))
                    found = {"segmentation": packed_counts(moved)}
                else:
                    found = {"bbox": (shape + [*shift, *random.integers(-8, 9, 2)]).clip(1).tolist()}
                guess = category if random.random() < 0.9 else 8 - category
                results.append({"image_id": image["id"], "category_id": guess} | found)
        stray = int(random.integers(0, 6))
        for shape in random_mask(random, stray) if masks else random_boxes(random, stray):
            found = {"segmentation": packed_counts(shape)} if masks else {"bbox": shape.tolist()}
            results.append({"image_id": image["id"], "category_id": int(random.choice([3, 5]))} | found)
    for result in results:
        result["score"] = int(random.integers(1, 17)) / 16
    return {"images": images, "categories": categories, "annotations": annotations}, results


def coco_reference(truth, results, masks, most):
    """AP by class, IoU and area; -1, COCO's word for nothing to find, becomes null."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        # pycocotools packs masks in place.
        known.dataset = copy.deepcopy(truth)
        known.createIndex()
        found = known.loadRes(copy.deepcopy(results))
        judge = COCOeval(known, found, "segm" if masks else "bbox")
        judge.params.maxDets = [most]
        judge.params.areaRng = AREAS
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"]  # IoU × recall × class × area × maxDets
    means = precision.mean(axis=1)[..., 0]
    return {
        "masks": masks,
        "max_predictions": None if most > 1000 else most,
        "truth": truth,
        "results": results,
        "ious": judge.params.iouThrs.tolist(),
        # class × area × IoU
        "ap": [
            [[None if v < 0 else float(v) for v in means[:, k, a]] for a in range(len(AREAS))]
            for k in range(means.shape[1])
        ],
    }


def ranking_reference(seed):
    """Scores with ties and labels, for what scikit-learn knows of them."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, 400)
    scores = np.round((random.random(400) * 0.7 + labels * 0.3) * 64).clip(0, 64) / 64
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    rate, mean = calibration_curve(labels, scores, n_bins=10)
    return {
        "scores": scores.tolist(),
        "hits": labels.tolist(),
        "thresholds": thresholds.tolist(),
        "precision": precision[:-1].tolist(),
        "recall": recall[:-1].tolist(),
        "auc": float(roc_auc_score(labels, scores)),
        "hit_rate": rate.tolist(),
        "mean_score": mean.tolist(),
        "brier": float(np.mean((scores - labels) ** 2)),
    }


def froc_reference(seed):
    """By hand: at each threshold, count; at each rate, the best threshold that keeps to it."""
    random = np.random.default_rng(seed)
    images, truth, area = 7, 60, 3.5
    scores = random.integers(0, 65, 120) / 64
    hits = random.random(120) < 0.4
    hits[np.flatnonzero(hits)[truth:]] = False
    points = []
    for threshold in sorted(set(scores.tolist()), reverse=True):
        over = scores >= threshold
        points.append((int((over & hits).sum()) / truth, int((over & ~hits).sum())))
    rates = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]

    def attainable(units, rate):
        return max([s for s, false_marks in points if false_marks / units <= rate], default=0.0)

    def interpolated(units, rate):
        x = [0.0] + [false_marks / units for _, false_marks in points]
        y = [0.0] + [s for s, _ in points]
        return float(np.interp(rate, x, y))

    return {
        "images": images,
        "area_mm2": area,
        "truth": truth,
        "scores": scores.tolist(),
        "hits": hits.tolist(),
        "rates": rates,
        "per_image": [attainable(images, rate) for rate in rates],
        "per_mm2": [attainable(area, rate) for rate in rates],
        "interpolated": [interpolated(images, rate) for rate in rates],
    }


def label_map(random, centres, jitter):
    """Discs that do not overlap: the later one gives way. Every number is kept, also of lost discs."""
    rows, columns = np.mgrid[:200, :200]
    labels = np.zeros((200, 200), int)
    for number, (x, y) in enumerate(centres, 1):
        x, y = (x, y) + random.normal(0, jitter, 2)
        disc = (columns - x) ** 2 + (rows - y) ** 2 <= random.uniform(5, 11) ** 2
        labels[disc & (labels == 0)] = number
    return labels


def outline_runs(labels, number):
    flat = (labels == number).flatten(order="F").astype(np.int8)
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist() + [flat.size]
    return {"size": list(labels.shape), "counts": np.diff([0] + changes).tolist()}


def panoptic_reference(seed):
    """panopticapi's rules on label maps of one class: IoU over 0.5 with void out of the union, and
    predictions mostly in void or crowd are forgiven."""
    random = np.random.default_rng(seed)
    centres = [(x, y) for x in range(12, 200, 22) for y in range(12, 200, 22)]
    truth = label_map(random, centres, 1.0)
    kept = [c for c in centres if random.random() < 0.85]
    found = label_map(random, kept, 4.0)
    void = np.zeros_like(truth, bool)
    void[:, :35] = True
    # Truth never lies in void; and one object is a crowd.
    truth[void] = 0
    numbers = [n for n in np.unique(truth) if n]
    crowd = int(numbers[len(numbers) // 2])
    iou_sum, hits, matched_truth, matched_found = 0.0, 0, set(), set()
    for p in [n for n in np.unique(found) if n]:
        own = found == p
        for t in np.unique(truth[own]):
            if t == 0 or t == crowd:
                continue
            shared = int((own & (truth == t)).sum())
            union = int(own.sum()) + int((truth == t).sum()) - shared - int((own & void).sum())
            if shared / union > 0.5:
                iou_sum += shared / union
                hits += 1
                matched_truth.add(int(t))
                matched_found.add(int(p))
    false_marks = 0
    for p in [int(n) for n in np.unique(found) if n]:
        own = found == p
        excused = int((own & (void | (truth == crowd))).sum()) / int(own.sum())
        false_marks += p not in matched_found and excused <= 0.5
    missed = len([n for n in numbers if n not in matched_truth and n != crowd])
    return {
        "truth": [outline_runs(truth, n) for n in numbers if n != crowd],
        "crowd": outline_runs(truth, crowd),
        "void": [0, 0, 35, 200],
        "found": [outline_runs(found, n) for n in np.unique(found) if n],
        "hits": hits,
        "false_marks": int(false_marks),
        "missed": missed,
        "iou_sum": iou_sum,
        "pq": iou_sum / (hits + false_marks / 2 + missed / 2),
    }


def box_iou(boxes):
    x0, y0 = boxes[:, 0], boxes[:, 1]
    x1, y1 = x0 + boxes[:, 2], y0 + boxes[:, 3]
    width = (np.minimum.outer(x1, x1) - np.maximum.outer(x0, x0)).clip(0)
    height = (np.minimum.outer(y1, y1) - np.maximum.outer(y0, y0)).clip(0)
    shared = width * height
    area = boxes[:, 2] * boxes[:, 3]
    return shared / (np.add.outer(area, area) - shared)


def dbscan_reference(seed):
    random = np.random.default_rng(seed)
    centres = random_boxes(random, 25)
    boxes = np.vstack([centres + random.normal(0, 5, centres.shape) for _ in range(5)]).clip(1)
    distance = (1 - box_iou(boxes)).clip(0)
    cases = []
    for iou, min_samples in [(0.5, 2), (0.5, 3), (0.3, 4), (0.7, 2)]:
        labels = DBSCAN(eps=1 - iou, min_samples=min_samples, metric="precomputed").fit_predict(distance)
        cases.append({"iou": iou, "min_samples": min_samples, "labels": labels.tolist()})
    return {"boxes": boxes.tolist(), "cases": cases}


def kappa_reference(seed):
    random = np.random.default_rng(seed)
    truth = random.integers(0, 4, 300)
    raters = [np.where(random.random(300) < 0.7, truth, random.integers(0, 4, 300)) for _ in range(5)]
    votes = np.stack([(np.stack(raters) == c).sum(0) for c in range(4)], 1)
    n = len(raters)
    observed = ((votes**2).sum(1) - n).mean() / (n * (n - 1))
    expected = ((votes.sum(0) / votes.sum()) ** 2).sum()
    return {
        "raters": [r.tolist() for r in raters],
        "cohen": float(cohen_kappa_score(raters[0], raters[1])),
        "fleiss": float((observed - expected) / (1 - expected)),
    }


def assignment_reference(seed):
    """As many pairs within the limit as possible, then the least total distance."""
    random = np.random.default_rng(seed)
    truth = random.uniform(0, 100, (150, 2))
    found = np.vstack([truth[:120] + random.normal(0, 3, (120, 2)), random.uniform(0, 100, (60, 2))])
    limit = 6.0
    distance = cdist(found, truth)
    cost = np.where(distance <= limit, distance, 1e6)
    rows, columns = linear_sum_assignment(cost)
    used = distance[rows, columns] <= limit
    return {
        "truth": truth.tolist(),
        "found": found.tolist(),
        "limit": limit,
        "pairs": int(used.sum()),
        "total": float(distance[rows, columns][used].sum()),
    }


def weights_reference(seed):
    random = np.random.default_rng(seed)
    labels = random.choice(5, 1000, p=[0.5, 0.3, 0.15, 0.04, 0.01])
    weights = compute_class_weight("balanced", classes=np.arange(5), y=labels)
    return {"counts": np.bincount(labels, minlength=5).tolist(), "weights": weights.tolist()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--coco", type=Path, nargs=2, metavar=("TRUTH", "RESULTS"))
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    every = 100_000
    if arguments.coco:
        truth, results = (json.loads(path.read_text()) for path in arguments.coco)
        (out / "coco.json").write_text(json.dumps(coco_reference(truth, results, False, every)))
        return
    references = {
        "coco": [coco_reference(*coco_case(seed, False), False, every) for seed in range(8)]
        + [coco_reference(*coco_case(seed, True), True, every) for seed in range(3)]
        + [coco_reference(*coco_case(20, False), False, 3)],
        "ranking": [ranking_reference(seed) for seed in range(4)],
        "froc": [froc_reference(seed) for seed in range(4)],
        "panoptic": [panoptic_reference(seed) for seed in range(4)],
        "dbscan": [dbscan_reference(seed) for seed in range(4)],
        "kappa": [kappa_reference(seed) for seed in range(3)],
        "assignment": [assignment_reference(seed) for seed in range(3)],
        "weights": [weights_reference(0)],
    }
    (out / "eval.json").write_text(json.dumps(references))


if __name__ == "__main__":
    main()
