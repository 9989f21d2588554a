"""Draws what the model card shows: curves on dev, and where the model is wrong.

    python figures.py --out ../nuclei-he/figures [--slides ../../../shared/slides/real]

``curves.png``: precision against recall, and precision, recall, F1 and count error
against the threshold. ``failures-<set>.png``: the dev fields with the lowest F1; green:
right, yellow: no true nucleus there, red ring: missed. A model of several classes also
gets ``classes.png``, F1 by class and what is taken for what, and ``classes-fields.png``:
boxes in the colour of the class found, dots in that of the true one. With ``--slides``,
``elsewhere.png``: other laboratories' slides, without truth, to be looked at.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import onnx
from PIL import Image, ImageDraw

import data
import evaluate

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

ZOOM = 2
SIDE = 200
"""Side of the pieces shown, px at 0.5 mpp."""

KINDS = ((0, 200, 255), (235, 30, 30), (20, 190, 60), (200, 120, 0))
"""A colour for each class."""

TITLES = {"tnbc": "tnbc dev", "dsb2018": "dsb2018 dev", "brca_m2c": "brca_m2c dev (dots, not exhaustive)"}


def draw_curves(curves: dict[str, evaluate.Curve], conf: float, path: Path) -> None:
    """Precision-recall on the left, everything against the threshold on the right."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    thresholds = np.arange(0.05, 0.8, 0.01)
    for colour, (name, c) in zip(("C0", "C1", "C2"), curves.items()):
        hits = np.cumsum(c.right)
        left.plot(
            hits / c.truths,
            hits / np.arange(1, len(hits) + 1),
            colour,
            label=f"{TITLES[name]}, AP {c.ap():.3f}",
        )
        here = c.at(conf)
        left.plot(here["recall"], here["precision"], colour + "o")
        rows = [c.at(t) for t in thresholds]
        right.plot(thresholds, [r["f1"] for r in rows], colour)
        right.plot(thresholds, [r["count_error"] for r in rows], colour + ":")
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    left.legend(loc="lower left", fontsize=8)
    right.axvline(conf, color="grey", lw=0.8)
    right.axhline(0, color="grey", lw=0.5)
    right.set(xlabel="score threshold", ylabel="F1 (lines), count error (dots)", ylim=(-0.5, 1))
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def drawn(
    picture: np.ndarray, found: evaluate.Detections, truth: np.ndarray | None, several: bool = False
) -> Image.Image:
    """The picture enlarged, with boxes and missed nuclei; boxes by class if ``several``."""
    matches = None if truth is None else evaluate.match(found.centres, truth)
    image = Image.fromarray(picture).resize(
        (picture.shape[1] * ZOOM, picture.shape[0] * ZOOM), Image.Resampling.BICUBIC
    )
    pen = ImageDraw.Draw(image)
    for row, box in enumerate(found.boxes * ZOOM):
        right = matches is None or matches[row] >= 0
        colour = (0, 230, 0) if right else (255, 225, 0)
        pen.rectangle(box.tolist(), outline=KINDS[found.classes[row]] if several else colour)
    if truth is not None:
        for x, y in np.delete(truth, matches[matches >= 0], axis=0) * ZOOM:
            pen.ellipse([x - 5, y - 5, x + 5, y + 5], outline=(255, 0, 0), width=2)
    return image


def montage(images: list[Image.Image], columns: int, path: Path, colours: int = 160) -> None:
    """Pictures in a grid, as a small palette PNG."""
    width, height = max(i.width for i in images), max(i.height for i in images)
    sheet = Image.new("RGB", (width * columns, height * -(-len(images) // columns)), "white")
    for number, image in enumerate(images):
        sheet.paste(image, (number % columns * width, number // columns * height))
    sheet.quantize(colours).save(path, optimize=True)


def kept(found: evaluate.Detections, conf: float) -> evaluate.Detections:
    """Those at or above the working threshold."""
    rows = found.scores >= conf
    return evaluate.Detections(found.boxes[rows], found.scores[rows], found.classes[rows])


def draw_failures(
    found: list[evaluate.Detections], fields: list[data.Field], conf: float, path: Path, count: int
) -> None:
    """The fields with the lowest F1 at the working threshold."""

    def merit(row: int) -> float:
        return evaluate.curve([found[row]], [fields[row]]).at(conf)["f1"]

    worst = sorted(range(len(fields)), key=merit)[:count]
    images = [
        drawn(data.at_model_mpp(fields[i]), kept(found[i], conf), data.truth_centres(fields[i]))
        for i in worst
    ]
    images = [i.crop((0, 0, min(i.width, SIDE * ZOOM), min(i.height, SIDE * ZOOM))) for i in images]
    montage(images, 3, path)


def draw_classes(
    found: list[evaluate.Detections], fields: list[data.Field], names: list[str], conf: float, path: Path
) -> None:
    """F1 of each class against the threshold, and the confusion at the working one."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    thresholds = np.arange(0.1, 0.7, 0.01)
    for number, name in enumerate(names):
        c = evaluate.curve(found, fields, number)
        colour = tuple(v / 255 for v in KINDS[number])
        left.plot(thresholds, [c.at(t)["f1"] for t in thresholds], color=colour, label=f"{name}, {c.truths}")
    left.axvline(conf, color="grey", lw=0.8)
    left.set(xlabel="score threshold", ylabel="F1", ylim=(0, 1))
    left.legend(loc="upper right", fontsize=8)
    table = evaluate.confusion([kept(f, conf) for f in found], fields, len(names))
    right.imshow(table / np.maximum(table.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table):
        if (row, column) != (len(names), len(names)):
            share = count / max(table[row].sum(), 1)
            right.text(column, row, count, ha="center", va="center", color="w" if share > 0.6 else "k")
    right.set_xticks(range(len(names) + 1), [*names, "missed"], fontsize=8)
    right.set_yticks(range(len(names) + 1), [*names, "no dot"], fontsize=8)
    right.set(xlabel="found", ylabel="true")
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def draw_kinds(
    found: list[evaluate.Detections], fields: list[data.Field], conf: float, path: Path, count: int
) -> None:
    """The fields with the lowest macro F1: boxes by class found, dots by true class."""

    def merit(row: int) -> float:
        return evaluate.class_figures([found[row]], [fields[row]], conf)["macro_f1"]

    images = []
    for row in sorted(range(len(fields)), key=merit)[:count]:
        picture, seen = data.at_model_mpp(fields[row])[:SIDE, :SIDE], kept(found[row], conf)
        image = Image.fromarray(picture).resize((SIDE * ZOOM, SIDE * ZOOM), Image.Resampling.BICUBIC)
        pen = ImageDraw.Draw(image)
        for box, kind in zip(seen.boxes * ZOOM, seen.classes):
            pen.rectangle(box.tolist(), outline=KINDS[kind])
        for (x, y), kind in zip(data.truth_centres(fields[row]) * ZOOM, fields[row].classes):
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=KINDS[kind], outline="white")
        images.append(image)
    montage(images, 3, path)


def elsewhere(folder: Path, side: int = SIDE) -> Iterator[np.ndarray]:
    """Pieces at about 0.5 mpp of the test slides of other laboratories."""
    import openslide
    import tifffile

    def piece(pixels: np.ndarray, x: int, y: int, factor: int) -> np.ndarray:
        part = Image.fromarray(np.ascontiguousarray(pixels[y : y + side * factor, x : x + side * factor, :3]))
        return np.asarray(part.reduce(factor) if factor > 1 else part)

    slide = openslide.OpenSlide(str(folder / "CMU-1-Small-Region.svs"))
    for at in ((1200, 1600), (600, 2300)):
        yield piece(np.asarray(slide.read_region(at, 0, (side, side)).convert("RGB")), 0, 0, 1)
    slide = openslide.OpenSlide(str(folder / "tcga-cr-7395-01a-01-ts1.svs"))
    yield piece(np.asarray(slide.read_region((1300, 1000), 0, (side, side)).convert("RGB")), 0, 0, 1)
    pixels = tifffile.imread(folder / "OS-1-detail.ome.tif")
    yield piece(pixels, 200, 200, 2)
    pixels = tifffile.imread(folder / "instanseg_HE_example.tif")
    yield piece(pixels, 460, 500, 1)
    yield piece(pixels, 60, 60, 1)


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=here.parent / "nuclei-he" / "nuclei-he.onnx")
    parser.add_argument("--data", type=Path, default=here.parents[2] / "shared" / "nuclei")
    parser.add_argument("--slides", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    meta = {p.key: p.value for p in onnx.load(str(args.model)).metadata_props}
    multiple, conf, nms_iou = int(meta["stride"]), float(meta["conf"]), float(meta["nms_iou"])
    predict = evaluate.onnx_predictor(args.model)
    sets = evaluate.dev_sets(args.data)
    found = {name: evaluate.run(predict, fields, multiple, nms_iou) for name, fields in sets.items()}
    draw_curves({n: evaluate.curve(found[n], sets[n]) for n in sets}, conf, args.out / "curves.png")
    for name in evaluate.EXACT:
        draw_failures(found[name], sets[name], conf, args.out / f"failures-{name}.png", 3)
    names = list(ast.literal_eval(meta["names"]).values())
    if len(names) > 1:
        dots, fields = found["brca_m2c"], sets["brca_m2c"]
        draw_classes(dots, fields, names, conf, args.out / "classes.png")
        draw_kinds(dots, fields, conf, args.out / "classes-fields.png", 6)
    if args.slides:
        images = []
        for picture in elsewhere(args.slides):
            output = predict(evaluate.padded(picture, multiple))
            seen = evaluate.detections(output, (picture.shape[1], picture.shape[0]), conf, nms_iou)
            images.append(drawn(picture, seen, None, several=len(names) > 1))
        montage(images, 3, args.out / "elsewhere.png")


if __name__ == "__main__":
    main()
