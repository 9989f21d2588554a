"""How other rules and tools do on `tests/merge-cases`, as the table in its README.

    python benches/merge_cases_peers.py > table.md

Each is given every detection in slide px, without NaN, boxes without area, and
those below the case's least score, and is right where it keeps as many objects
as there are. Needs numpy; SAHI and lsnms are left out, and said, where they are
not installed (`pip install numpy sahi lsnms`). Ours is held to more by
`merger/tests/conformance.rs`: boxes, classes, windows and flags, in any order.
"""

import json
import pathlib
import sys

import numpy as np

CASES = pathlib.Path(__file__).parent.parent / "tests" / "merge-cases"
IOU = 0.45


def rows_of(case):
    """x0, y0, x1, y1 (slide px), score, class."""
    grid, rows = case["grid"], []
    least = case.get("settings", {}).get("min_score", {}).get("overall", 0)
    for found in case["detections"]:
        left = found["window"] % grid["columns"] * grid["stride"]
        top = found["window"] // grid["columns"] * grid["stride"]
        x0, y0, x1, y1 = (float(value) for value in found["box"])
        if not np.isfinite([x0, y0, x1, y1]).all() or x1 <= x0 or y1 <= y0 or found["score"] < least:
            continue
        rows.append([x0 + left, y0 + top, x1 + left, y1 + top, found["score"], found["class"]])
    return np.array(rows, np.float32).reshape(-1, 6)


def greedy(rows, of_one_class):
    """Greedy suppression over everything, best first; gives how many are left."""
    rows, kept = rows[np.argsort(-rows[:, 4], kind="stable")], []
    for row in rows:
        if not any(iou(row, other) >= IOU and not (of_one_class and row[5] != other[5]) for other in kept):
            kept.append(row)
    return len(kept)


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return shared / (area(a) + area(b) - shared)


def sahi_nms(rows):
    from sahi.postprocess.combine import batched_nms

    return len(batched_nms(rows, "IOU", IOU))


def sahi_greedy_nmm(rows):
    from sahi.postprocess.combine import batched_greedy_nmm

    return len(batched_greedy_nmm(rows, "IOS", 0.5))


def lsnms(rows):
    import lsnms

    boxes, scores = rows[:, :4].astype(float), rows[:, 4].astype(float)
    return len(lsnms.nms(boxes, scores, iou_threshold=IOU, class_ids=rows[:, 5].astype(int)))


TOOLS = {
    "NMS by class": lambda rows: greedy(rows, True),
    "NMS over all classes": lambda rows: greedy(rows, False),
    "SAHI NMS": sahi_nms,
    "SAHI greedy NMM": sahi_greedy_nmm,
    "lsnms": lsnms,
}


def main():
    tools = {}
    for name, tool in TOOLS.items():
        try:
            tool(np.array([[0, 0, 9, 9, 0.5, 0], [30, 30, 40, 40, 0.4, 1]], np.float32))
            tools[name] = tool
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    right = dict.fromkeys(tools, 0)
    paths = sorted(CASES.glob("*.json"))
    print("| case | objects | " + " | ".join(tools) + " |")
    print("| --- " * (2 + len(tools)) + "|")
    for path in paths:
        case = json.loads(path.read_text())
        rows, expected = rows_of(case), len(case["expected"])
        counts = {name: tool(rows) if len(rows) else 0 for name, tool in tools.items()}
        for name, count in counts.items():
            right[name] += count == expected
        cells = [str(count) if count == expected else f"**{count}**" for count in counts.values()]
        print(f"| {path.stem} | {expected} | " + " | ".join(cells) + " |")
    print(f"| right, of {len(paths)} | {len(paths)} | " + " | ".join(str(count) for count in right.values()) + " |")


if __name__ == "__main__":
    main()
