"""Other tools' merging on the boxes that `cargo bench --bench merge -- --dump FOLDER` writes.

    python benches/merge_peers.py FOLDER/25600.f32 [TOOL …]

Each runs in a process of its own, so that memory is its own. Times are CPU
times. `shapely_outlines` takes 24-gons in the boxes of the first 20 000 rows, as
`--outlines` of the bench has them. Needs numpy and whichever of lsnms, sahi and shapely should be measured
(`pip install numpy lsnms sahi shapely`); what is missing is left out, and said.
"""

import multiprocessing
import resource
import sys
import time

import numpy as np

IOU = 0.45


def load(path):
    rows = np.fromfile(path, dtype="<f4").reshape(-1, 6)
    return rows[:-1], int(rows[-1, 0])


def lsnms_per_class(rows):
    from lsnms import nms

    nms(rows[:100, :4].astype(float), rows[:100, 4].astype(float), iou_threshold=IOU)  # compiles

    def run():
        return len(
            nms(
                rows[:, :4].astype(float),
                rows[:, 4].astype(float),
                iou_threshold=IOU,
                class_ids=rows[:, 5].astype(int),
            )
        )

    return run


def lsnms_any_class(rows):
    from lsnms import nms

    nms(rows[:100, :4].astype(float), rows[:100, 4].astype(float), iou_threshold=IOU)

    def run():
        return len(nms(rows[:, :4].astype(float), rows[:, 4].astype(float), iou_threshold=IOU))

    return run


def sahi_nms(rows):
    from sahi.postprocess.combine import batched_nms

    return lambda: len(batched_nms(rows.astype(np.float32), "IOU", IOU))


def sahi_greedy_nmm(rows):
    from sahi.postprocess.combine import batched_greedy_nmm

    return lambda: len(batched_greedy_nmm(rows.astype(np.float32), "IOS", 0.5))


def shapely_boxes(rows):
    from shapely import box

    rows = best_first(rows)
    return tree_loop(rows, lambda: [box(*row[:4]) for row in rows])


def shapely_outlines(rows):
    from shapely import polygons

    rows = best_first(rows)
    angles = np.arange(24) * (2 * np.pi / 24)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    middle, radius = (rows[:, :2] + rows[:, 2:4]) / 2, (rows[:, 2:4] - rows[:, :2]) / 2
    return tree_loop(rows, lambda: list(polygons(middle[:, None] + radius[:, None] * circle)))


def best_first(rows, count=20000):
    rows = rows[:count]
    return rows[np.argsort(-rows[:, 4])]


def tree_loop(rows, make_shapes):
    """Greedy suppression by class, as people write it with an STRtree."""
    from shapely import STRtree

    def run():
        shapes = make_shapes()
        tree = STRtree(shapes)
        alive = np.ones(len(shapes), bool)
        for index, shape in enumerate(shapes):
            if not alive[index]:
                continue
            for other in tree.query(shape):
                if other > index and alive[other] and rows[other, 5] == rows[index, 5]:
                    shared = shape.intersection(shapes[other]).area
                    if shared / (shape.area + shapes[other].area - shared) >= IOU:
                        alive[other] = False
        return int(alive.sum())

    run.count = len(rows)
    return run


TOOLS = [lsnms_per_class, lsnms_any_class, sahi_nms, sahi_greedy_nmm, shapely_boxes, shapely_outlines]


def measure(name, path, queue):
    rows, _ = load(path)
    try:
        run = globals()[name](rows)
    except ImportError as error:
        queue.put((name, None, None, str(error), 0))
        return
    start = time.process_time()
    kept = run()
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    queue.put((name, seconds * 1e6 / getattr(run, "count", len(rows)), kept, None, peak))


def main():
    path, wanted = sys.argv[1], sys.argv[2:]
    rows, truth = load(path)
    raw = len(rows)
    del rows
    print(f"{raw} raw boxes, {truth} true")
    print(f"{'tool':<18} | µs/box |    kept | off the truth | peak MB")
    # A fork would begin with the memory of this process.
    context = multiprocessing.get_context("spawn")
    for name in [tool.__name__ for tool in TOOLS if not wanted or tool.__name__ in wanted]:
        queue = context.Queue()
        process = context.Process(target=measure, args=(name, path, queue))
        process.start()
        name, micros, kept, missing, peak = queue.get()
        process.join()
        if missing:
            print(f"{name:<18} | left out: {missing}")
            continue
        off = "" if name.startswith("shapely") else f"{100 * (kept / truth - 1):+.2f} %"
        print(f"{name:<18} | {micros:6.2f} | {kept:>7} | {off:>13} | {peak:7.0f}", flush=True)


if __name__ == "__main__":
    main()
