"""Annotated fields and the crops that training sees.

Frames and units. A *field* is an annotated picture at its own pixel size
(``mpp``, microns per pixel). A *crop* is what the network sees: ``MODEL_MPP``
per pixel, square. Boxes are ``x0, y0, x1, y1`` in crop pixels, half open, so a
one-pixel object has side 1.

Crops are rendered at twice the model's resolution and then averaged 2 x 2: the
same area average that the engine applies to a 0.25 mpp slide.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage
from torch.utils.data import Dataset

import augment

MODEL_MPP = 0.5
"""Microns per pixel the network works at."""

OVERSAMPLE = 2
"""Crops are rendered this much finer, then averaged down."""

MIN_VISIBLE = 0.35
"""An object cut by the crop's border counts if at least this part of it is seen;
one cut shorter is neither an object nor background."""

SET_MPP = {"tnbc": 0.25, "dsb2018": 0.25, "brca_m2c": 0.5}
"""Assumed pixel sizes. tnbc is 40x and brca_m2c 20x; dsb2018 states nothing and
is taken as 40x because its nuclei have the same size in pixels."""

DOT_SETS = ("brca_m2c",)
"""Sets whose annotation is dots."""

DOT_BOX_PX = 11.0
"""Side, in crop pixels, of the box drawn round a dot: the median nucleus."""


@dataclass(frozen=True)
class Field:
    """One annotated picture.

    Either ``label`` holds instance masks (0 background, 1..N), or ``boxes`` holds
    objects directly (field pixels), with ``measured`` false where only the centre
    is known. ``classes`` has one entry per row of ``boxes``. ``dots`` [M, 2] are the
    annotated centres where the annotation is dots.
    """

    name: str
    set_name: str
    image: Image.Image
    mpp: float
    label: Image.Image | None = None
    areas: np.ndarray | None = None
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    measured: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    classes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    ignore: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    dots: np.ndarray | None = None
    mask_class: int = 0
    group: str = ""
    """What it must not be divided from: its patient, or the field it is a cut of."""

    @property
    def key(self) -> str:
        """Its name among the fields of all sets."""
        return f"{self.set_name}/{self.name}"

    def prepare(self) -> None:
        """Works out what views of it need, so that processes forked later share it."""
        _ = (self.pixels, self.paper) if self.label is None else (self.pixels, self.paper, self.outlines)

    @cached_property
    def pixels(self) -> np.ndarray:
        """The picture, uint8 [H, W, 3]."""
        return np.asarray(self.image)

    @cached_property
    def objects(self) -> np.ndarray:
        """The instance map, uint16 [H, W]."""
        return np.asarray(self.label).astype(np.uint16)

    @cached_property
    def outlines(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners [P, 2] (x, y) of the convex hulls of the masks, one object's after the
        other's, and where each object's begin [N]."""
        hulls = []
        for number, where in enumerate(ndimage.find_objects(self.objects, len(self.areas) - 1), start=1):
            if where is None:
                hulls.append(np.zeros((1, 2)))
                continue
            y, x = np.nonzero(self.objects[where] == number)
            corners = np.vstack([np.column_stack([x + i, y + j]) for i in (0, 1) for j in (0, 1)])
            hull = cv2.convexHull(corners.astype(np.int32))[:, 0]
            hulls.append(hull + (where[1].start, where[0].start))
        starts = np.cumsum([0] + [len(h) for h in hulls])[:-1]
        return np.vstack([np.zeros((0, 2)), *hulls]), starts

    @cached_property
    def paper(self) -> tuple[int, int, int]:
        """The field's brightest common colour: what lies outside its border."""
        pixels = self.pixels[::4, ::4].reshape(-1, 3)
        return tuple(int(v) for v in np.percentile(pixels, 95, axis=0))


@dataclass
class Crop:
    """What the network and the loss see of one sample.

    ``image`` uint8 [S, S, 3], at last [3, S, S]; ``boxes`` [M, 4]; ``measured`` [M] (false:
    only the centre is to be trusted); ``classes`` [M]; ``mask`` uint8 [S/4, S/4]:
    0 background, 1 nucleus, 2 rim between nuclei or nucleus and background,
    255 unknown; ``ignore`` [K, 4]: areas where a detection is neither right nor wrong;
    ``fields``: keys of the fields it shows.
    """

    image: np.ndarray
    boxes: np.ndarray
    measured: np.ndarray
    classes: np.ndarray
    mask: np.ndarray
    ignore: np.ndarray
    fields: tuple[str, ...] = ()


def load_mask_set(root: Path, name: str, split: str, class_id: int = 0) -> list[Field]:
    """Reads ``<root>/<name>/<split>/<id>/{image,label}.png``, in order of id. Masks have
    no classes: all objects get ``class_id``, -1 where several classes are to be told."""
    fields, groups = [], groups_of(root, name)
    for folder in sorted((root / name / split).iterdir()):
        label = np.asarray(Image.open(folder / "label.png")).astype(np.int32)
        fields.append(
            Field(
                name=folder.name,
                set_name=name,
                image=Image.open(folder / "image.png").convert("RGB"),
                mpp=SET_MPP[name],
                label=Image.fromarray(label, mode="I"),
                areas=np.bincount(label.ravel()),
                mask_class=class_id,
                group=groups[folder.name],
            )
        )
    return fields


def groups_of(root: Path, name: str) -> dict[str, str]:
    """For each field of a set what it must not be divided from, from its ``index.csv``:
    the patient, the slide, or the field it was cut from, whichever is known."""
    with open(root / name / "index.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    column = next(c for c in ("patient", "slide", "field") if c in rows[0])
    return {row["id"]: row[column] for row in rows}


def load_dot_set(root: Path, split: str, boxes: Path | None = None, name: str = "brca_m2c") -> list[Field]:
    """Reads ``<root>/<name>/<id>/{image.png,points.csv}``, in order of id.

    Every third patient (one field each) is ``dev``, the others ``train``. Dots become
    boxes of the median nucleus whose size is not to be trusted, or what
    :mod:`pseudo` found for them in the file ``boxes``.
    """
    table = json.loads(boxes.read_text()) if boxes else {}
    folders = sorted(p for p in (root / name).iterdir() if p.is_dir())
    fields, groups = [], groups_of(root, name)
    for number, folder in enumerate(folders):
        if (number % 3 == 2) != (split == "dev"):
            continue
        with open(folder / "points.csv", newline="") as file:
            rows = [(float(r["x"]), float(r["y"]), int(r["class"])) for r in csv.DictReader(file)]
        points = np.array([r[:2] for r in rows], np.float32).reshape(-1, 2) + 0.5
        half = DOT_BOX_PX / 2
        known = table.get(folder.name, {})
        fields.append(
            Field(
                name=folder.name,
                set_name=name,
                image=Image.open(folder / "image.png").convert("RGB"),
                mpp=SET_MPP[name],
                boxes=np.array(known.get("boxes", np.hstack([points - half, points + half])), np.float32),
                measured=np.array(known.get("measured", np.zeros(len(rows))), bool),
                classes=np.array([r[2] - 1 for r in rows], np.int64),
                ignore=np.array(known.get("ignore", []), np.float32).reshape(-1, 4),
                dots=points,
                group=groups[folder.name],
            )
        )
    return fields


def load_set(root: Path, name: str, split: str, class_id: int, boxes: Path | None = None) -> list[Field]:
    """Either kind of set, by what its fields hold."""
    if name in DOT_SETS:
        return load_dot_set(root, split, boxes, name)
    return load_mask_set(root, name, split, class_id)


def load_both(root: Path, name: str, class_id: int, boxes: Path | None = None) -> list[Field]:
    """Both splits of a set: all its annotated fields."""
    return [field for split in ("train", "dev") for field in load_set(root, name, split, class_id, boxes)]


@dataclass(frozen=True)
class Fold:
    """One part of a cross-validation: of ``of`` equal parts of each set's groups, in
    alphabetical order, the one with number ``number`` is held back."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Fold:
        """``1/3``: the second of three."""
        number, of = (int(part) for part in text.split("/"))
        if not 0 <= number < of:
            raise ValueError(f"fold {text}: expected a number from 0 to {of - 1} before the stroke")
        return cls(number, of)

    def divide(self, fields: list[Field]) -> tuple[list[Field], list[Field]]:
        """Fields of one set, both its splits together: those to train on, those held back."""
        groups = sorted({f.group for f in fields})
        held = {group for number, group in enumerate(groups) if number % self.of == self.number}
        return [f for f in fields if f.group not in held], [f for f in fields if f.group in held]


def truth_centres(item: Field) -> np.ndarray:
    """Centroids [M, 2] (x, y) of a field's objects in crop pixels at scale 1."""
    scale = item.mpp / MODEL_MPP
    if item.dots is not None:
        return item.dots * scale
    label = np.asarray(item.label)
    ids = np.unique(label[label > 0])
    yx = np.array(ndimage.center_of_mass(label > 0, label, ids)).reshape(-1, 2)
    return (yx[:, ::-1] + 0.5) * scale


def truth_boxes(item: Field) -> np.ndarray:
    """Boxes [M, 4] of a field's masks in crop pixels at scale 1, in the order of
    :func:`truth_centres`."""
    where = [w for w in ndimage.find_objects(np.asarray(item.label)) if w is not None]
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in where]
    return np.array(boxes, np.float64).reshape(-1, 4) * (item.mpp / MODEL_MPP)


def at_model_mpp(item: Field) -> np.ndarray:
    """The whole field, area-averaged to ``MODEL_MPP``, uint8 [H, W, 3]."""
    factor = round(MODEL_MPP / item.mpp)
    image = item.image.reduce(factor) if factor > 1 else item.image
    return np.asarray(image)


# -- geometry ----------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """Maps fine output pixels to field pixels: ``field = matrix @ out + shift``."""

    matrix: np.ndarray
    shift: np.ndarray
    size: tuple[int, int]

    def render(self, pixels: np.ndarray, filter: int, outside: tuple[int, ...] = (0,)) -> np.ndarray:
        """What the view shows of a field's picture; ``outside`` where the field ends."""
        # The middle of the first pixel is at 0 to OpenCV, at 0.5 here.
        shift = self.shift + self.matrix @ (0.5, 0.5) - 0.5
        affine = np.column_stack([self.matrix, shift])
        return cv2.warpAffine(pixels, affine, self.size, flags=filter | cv2.WARP_INVERSE_MAP, borderValue=outside)

    def coarse(self) -> View:
        """The same view in crop pixels."""
        width, height = self.size
        return View(self.matrix * OVERSAMPLE, self.shift, (width // OVERSAMPLE, height // OVERSAMPLE))

    def boxes_of_masks(self, item: Field) -> np.ndarray:
        """Boxes of all masks of a field in fine output pixels."""
        points, starts = item.outlines
        points = (points - self.shift) @ np.linalg.inv(self.matrix).T
        return np.hstack([np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)])

    def boxes_from_field(self, boxes: np.ndarray) -> np.ndarray:
        """Field boxes in fine output pixels. A turned box is the bounding box of its
        inscribed ellipse, which is what a nucleus in it looks like."""
        inverse = np.linalg.inv(self.matrix)
        centre = ((boxes[:, :2] + boxes[:, 2:]) / 2 - self.shift) @ inverse.T
        half = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (inverse**2).T)
        return np.hstack([centre - half, centre + half])


@dataclass(frozen=True)
class Geometry:
    """Ranges of the random view. ``scale`` > 1 enlarges; drawn log-uniformly."""

    scale: tuple[float, float] = (0.7, 1.5)
    stretch: float = 0.12
    free_angle: float = 0.5
    mosaic: float = 0.4


def random_view(rng: np.random.Generator, item: Field, size: tuple[int, int], ranges: Geometry) -> View:
    """A random turned, flipped, scaled view of the field, ``size`` = (w, h) fine pixels."""
    scale = math.exp(rng.uniform(*np.log(ranges.scale)))
    stretch = math.exp(rng.uniform(-ranges.stretch, ranges.stretch))
    turn = rng.uniform(0, 2 * math.pi) if rng.random() < ranges.free_angle else rng.integers(4) * math.pi / 2
    cos, sin = math.cos(turn), math.sin(turn)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    step = MODEL_MPP / OVERSAMPLE / item.mpp / scale
    matrix = step * np.array([[cos, -sin], [sin, cos]]) @ np.diag([flip * stretch, 1 / stretch])
    extent = np.abs(matrix) @ np.array(size)
    room = np.array(item.image.size) - extent
    corner = np.array([rng.uniform(0, r) if r > 0 else rng.uniform(r, 0) for r in room])
    shift = corner + extent / 2 - matrix @ (np.array(size) / 2)
    return View(matrix, shift, size)


# -- crops -------------------------------------------------------------------


class Canvas:
    """A crop in the making: fine picture, boxes in fine pixels, instance map in crop pixels."""

    def __init__(self, size: int) -> None:
        side = size * OVERSAMPLE
        self.size = size
        self.picture = np.zeros((side, side, 3), np.uint8)
        self.label = np.zeros((size, size), np.uint16)
        self.known = np.zeros((size, size), bool)
        self.full_area: list[np.ndarray] = [np.zeros(1)]
        self.mask_boxes: list[np.ndarray] = [np.zeros((1, 4))]
        self.mask_class: list[np.ndarray] = [np.zeros(1, np.int64)]
        self.rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.ignore: list[np.ndarray] = []
        self.fields: list[str] = []

    def paste(self, item: Field, view: View, at: tuple[int, int]) -> None:
        """Draws one view of a field with its top-left corner ``at`` (x, y), fine pixels."""
        self.picture[part_of(at, view.size)] = view.render(item.pixels, cv2.INTER_LINEAR, item.paper)
        self.fields.append(item.key)
        low = np.array([*at, *at], np.float64)
        limits = (low, low + np.tile(view.size, 2))
        if item.label is not None:
            self._paste_masks(item, view, low, limits)
        else:
            self._paste_boxes(item, view, low, limits)

    def _paste_masks(self, item: Field, view: View, low: np.ndarray, limits: tuple) -> None:
        coarse = view.coarse()
        label = coarse.render(item.objects, cv2.INTER_NEAREST)
        part = part_of(tuple(int(v) // OVERSAMPLE for v in low[:2]), coarse.size)
        offset = sum(len(a) for a in self.full_area) - 1
        self.label[part] = label + np.uint16(offset) * (label > 0)
        self.known[part] = True
        self.full_area.append(item.areas[1:] / abs(np.linalg.det(coarse.matrix)))
        self.mask_boxes.append(np.clip(view.boxes_of_masks(item) + low, *limits))
        self.mask_class.append(np.full(len(item.areas) - 1, item.mask_class))

    def _paste_boxes(self, item: Field, view: View, low: np.ndarray, limits: tuple) -> None:
        boxes = view.boxes_from_field(item.boxes) + low
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        keep = ((centre >= limits[0][:2]) & (centre < limits[1][:2])).all(axis=1)
        self.rows.append((np.clip(boxes, *limits)[keep], item.measured[keep], item.classes[keep]))
        ignore = np.clip(view.boxes_from_field(item.ignore) + low, *limits)
        self.ignore.append(ignore[(ignore[:, 2:] > ignore[:, :2]).all(axis=1)])

    def finish(self) -> Crop:
        """Averages down and turns masks into boxes."""
        boxes, classes, slivers = self._boxes_from_masks()
        rows = [(boxes, np.ones(len(boxes), bool), classes), *self.rows]
        return Crop(
            image=cv2.resize(self.picture, (self.size, self.size), interpolation=cv2.INTER_AREA),
            boxes=(np.vstack([r[0] for r in rows]) / OVERSAMPLE).astype(np.float32),
            measured=np.concatenate([r[1] for r in rows]),
            classes=np.concatenate([r[2] for r in rows]),
            mask=mask_with_rims(self.label, self.known),
            ignore=(np.vstack([slivers, *self.ignore]) / OVERSAMPLE).astype(np.float32),
            fields=tuple(self.fields),
        )

    def _boxes_from_masks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes and classes of the objects seen well enough, and boxes of the slivers."""
        full = np.concatenate(self.full_area)
        seen = np.bincount(self.label.ravel(), minlength=len(full))
        ids = np.flatnonzero(seen[1:]) + 1
        boxes = np.concatenate(self.mask_boxes)[ids]
        whole = seen[ids] >= MIN_VISIBLE * full[ids]
        return boxes[whole], np.concatenate(self.mask_class)[ids[whole]], boxes[~whole]


def part_of(at: tuple[int, int], size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of a rectangle with corner ``at`` (x, y)."""
    return np.s_[at[1] : at[1] + size[1], at[0] : at[0] + size[0]]


def mask_with_rims(label: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Instance map [S, S] to classes [S/4, S/4] (see :class:`Crop`)."""
    label, known = np.ascontiguousarray(label[1::2, 1::2]), known[1::2, 1::2]
    square = np.ones((3, 3), np.uint8)
    mixed = cv2.dilate(label, square) != cv2.erode(label, square)
    mask = np.where(mixed, 2, label > 0).astype(np.uint8)
    mask[~known] = 255
    return mask[::2, ::2]


def class_counts(fields: list[Field]) -> np.ndarray:
    """Objects per class over fields whose objects have boxes and known classes."""
    known = np.concatenate([np.zeros(0, np.int64)] + [f.classes[f.classes >= 0] for f in fields])
    return np.bincount(known)


def class_riches(fields: list[Field]) -> np.ndarray:
    """For each field the shares of all classes' objects it holds, added up: fields rich
    in rare classes stand out. 0 where no class is known."""
    total = np.maximum(class_counts(fields), 1)
    return np.array(
        [(np.bincount(f.classes[f.classes >= 0], minlength=len(total)) / total).sum() for f in fields]
    )


def shares(weights: np.ndarray) -> np.ndarray:
    """The running sum of weights, 1 at its end, for :func:`pick`."""
    running = weights.cumsum()
    return running / running[-1]


def pick(rng: np.random.Generator, running: np.ndarray) -> int:
    """An index at random, each as likely as its weight."""
    return int(np.searchsorted(running, rng.random(), side="right"))


class Crops(Dataset):
    """Endless random crops; item ``i`` depends on ``seed`` and ``i`` alone. The fields
    of a mosaic are of one part, where ``parts`` gives each field's."""

    def __init__(
        self,
        fields: list[Field],
        set_weights: dict[str, float],
        length: int,
        size: int,
        seed: int,
        geometry: Geometry,
        colour: augment.Colour,
        balance: float = 0.0,
        parts: list[tuple] | None = None,
    ) -> None:
        parts = parts or [()] * len(fields)
        self.fields, self.length, self.size, self.seed = fields, length, size, seed
        self.geometry, self.colour = geometry, colour
        counts = {n: sum(f.set_name == n for f in fields) for n in set_weights}
        even = np.array([set_weights[f.set_name] / counts[f.set_name] for f in fields])
        rich = class_riches(fields)
        for name, weight in set_weights.items():
            rows = np.array([f.set_name == name for f in fields])
            if rich[rows].sum() > 0:
                even[rows] = weight * ((1 - balance) / rows.sum() + balance * rich[rows] / rich[rows].sum())
        self.any = shares(even)
        """What a crop's first field is drawn by."""
        alike = {part: np.array([p == part for p in parts]) for part in parts}
        within = {part: shares(even * rows) for part, rows in alike.items()}
        self.beside = [within[part] for part in parts]
        """For each field what those that share a mosaic with it are drawn by."""

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Crop:
        rng = np.random.default_rng((self.seed, index))
        canvas = Canvas(self.size)
        place = pick(rng, self.any)
        first = self.fields[place]
        small = min(first.image.size) * first.mpp < self.size * MODEL_MPP * 0.75
        quarters = self._quarters(rng) if small or rng.random() < self.geometry.mosaic else None
        if quarters is None:
            side = self.size * OVERSAMPLE
            canvas.paste(first, random_view(rng, first, (side, side), self.geometry), (0, 0))
        else:
            for number, (at, size) in enumerate(quarters):
                item = first if number == 0 else self.fields[pick(rng, self.beside[place])]
                canvas.paste(item, random_view(rng, item, size, self.geometry), at)
        return augment.finish(rng, canvas.finish(), self.colour)

    def _quarters(self, rng: np.random.Generator) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Four parts of the crop, as (corner, size), fine pixels, on whole crop pixels."""
        side = self.size * OVERSAMPLE
        x, y = (int(side * rng.uniform(0.35, 0.65)) // 8 * 8 for _ in range(2))
        return [
            ((0, 0), (x, y)),
            ((x, 0), (side - x, y)),
            ((0, y), (x, side - y)),
            ((x, y), (side - x, side - y)),
        ]
