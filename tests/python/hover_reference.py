"""What OpenCV, scipy and scikit-image make of maps of nuclei, for `detector/src/hover/parity.rs`.

    python hover_reference.py --out FOLDER

The maps are painted: ellipses that touch, with the offsets of their places from their centres, blurred and noisy as a
model gives them. `instance_map` follows the description of Graham et al. 2019 (HoVer-Net) and the sizes that the code of
these models has.

Writes FOLDER/hover.json, a list of cases, and for each NAME.maps: scores of background and nucleus, offsets across and
down, scores of types (float32), then the number of the nucleus at each place (int32). And FOLDER/watershed.json: heights,
markers, and what `skimage.segmentation.watershed` makes of them.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

EDGE = 0.4
# µm per px, kernel and least area.
SIZES = {0.25: (21, 10), 0.5: (11, 5)}
TYPES = 4


def drop_small(bits, least):
    parts, _ = ndimage.label(bits)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.where(sizes[parts] >= least, parts, 0)


def unit_range(values):
    return cv2.normalize(values, None, alpha=0, beta=1, norm_type=cv2.NORM_MINMAX, dtype=cv2.CV_32F)


def instance_map(nuclei, offsets, kernel, least):
    """The number of the nucleus at each place: `nuclei` are probabilities, `offsets` two maps."""
    nuclear = (drop_small(nuclei >= 0.5, least) > 0).astype(np.int32)
    slopes = [
        cv2.Sobel(unit_range(offset), cv2.CV_64F, 1 - axis, axis, ksize=kernel)
        for axis, offset in enumerate(offsets)
    ]
    edges = np.maximum(*(1 - unit_range(slope) for slope in slopes))
    edges = np.maximum(edges - (1 - nuclear), 0)
    depth = -cv2.GaussianBlur((1.0 - edges) * nuclear, (3, 3), 0)
    sure = ndimage.binary_fill_holes((nuclear == 1) & (edges < EDGE)).astype(np.uint8)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    markers = drop_small(cv2.morphologyEx(sure, cv2.MORPH_OPEN, ellipse), least)
    return watershed(depth, markers, mask=nuclear)


def objects(numbers, types):
    """Box, score and class of each nucleus, best first: the class of most places, the background, 0, aside."""
    found = []
    for number in np.unique(numbers[numbers > 0]):
        rows, columns = np.nonzero(numbers == number)
        votes = np.bincount(types[rows, columns], minlength=TYPES)
        label = int(np.argmax(votes[1:]))
        if votes[label + 1] > 0:
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            found.append((box, votes[label + 1] / len(rows), label))
    return sorted(found, key=lambda row: (-row[1], row[0][1], row[0][0], row[0][3], row[0][2]))


def painted(seed, side, count, radius):
    """Maps of ellipses, later ones on top of earlier ones: nuclei, offsets, types."""
    random = np.random.default_rng(seed)
    numbers = np.zeros((side, side), np.int32)
    y, x = np.mgrid[:side, :side]
    for number in range(1, count + 1):
        centre, turn = random.uniform(0, side, 2), random.uniform(0, np.pi)
        long, short = radius * random.uniform(0.8, 1.3), radius * random.uniform(0.5, 0.8)
        along = (x - centre[0]) * np.cos(turn) + (y - centre[1]) * np.sin(turn)
        beside = (y - centre[1]) * np.cos(turn) - (x - centre[0]) * np.sin(turn)
        numbers[(along / long) ** 2 + (beside / short) ** 2 <= 1] = number
    offsets = np.zeros((2, side, side))
    types = np.zeros((side, side), np.int64)
    for number in range(1, count + 1):
        rows, columns = np.nonzero(numbers == number)
        if len(rows) == 0:
            continue
        types[rows, columns] = random.integers(1, TYPES)
        for offset, places in zip(offsets, (columns, rows)):
            off = places - places.mean()
            offset[rows, columns] = np.where(off < 0, off / max(-off.min(), 1), off / max(off.max(), 1))
    noise = random.normal(size=(4, side, side))
    margin = ndimage.gaussian_filter(np.where(numbers > 0, 4.0, -4.0) + 1.5 * noise[0], 0.8)
    nuclei = np.stack([-margin / 2, margin / 2])
    offsets = ndimage.gaussian_filter(offsets + 0.05 * noise[1:3], (0, 0.7, 0.7))
    scores = np.eye(TYPES)[types].transpose(2, 0, 1) + 0.5 * random.normal(size=(TYPES, side, side))
    return [maps.astype(np.float32) for maps in (nuclei, offsets, scores)]


def probability(nuclei):
    raised = np.exp(nuclei - nuclei.max(axis=0))
    return raised[1] / raised.sum(axis=0)


def hover_case(folder, name, mpp, seed, side, count, radius):
    nuclei, offsets, scores = painted(seed, side, count, radius)
    kernel, least = SIZES[mpp]
    numbers = instance_map(probability(nuclei), offsets, kernel, least).astype(np.int32)
    found = objects(numbers, scores.argmax(axis=0))
    maps = np.concatenate([nuclei, offsets, scores]).astype("<f4").tobytes()
    (folder / f"{name}.maps").write_bytes(maps + numbers.astype("<i4").tobytes())
    rows = [[list(map(int, box)), float(score), label] for box, score, label in found]
    return {"name": name, "side": side, "types": TYPES, "sobel_px": kernel, "min_px": least, "found": rows}


def watershed_case(seed, side, heights):
    """Random heights, markers of one place at heights of their own, and holes in the mask. Few heights make many ties."""
    random = np.random.default_rng(seed)
    ground = random.integers(0, heights, (side, side)).astype(float)
    mask = random.random((side, side)) > 0.15
    markers = np.zeros((side, side), np.int32)
    places = random.choice(np.flatnonzero(mask), side, replace=False)
    markers.flat[places] = np.arange(1, side + 1)
    ground.flat[places] -= np.linspace(0.1, 0.9, side)
    numbers = watershed(ground, markers, mask=mask)
    return {
        "width": side, "heights": ground.ravel().tolist(), "mask": mask.ravel().tolist(),
        "markers": markers.ravel().tolist(), "expected": numbers.ravel().tolist(),
    }


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--out", type=Path, required=True)
    folder = arguments.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    cases = [
        hover_case(folder, "hover-crowded", 0.25, 1, 256, 120, 13),
        hover_case(folder, "hover-sparse", 0.25, 2, 320, 25, 15),
        hover_case(folder, "hover-coarse", 0.5, 3, 256, 220, 8),
        hover_case(folder, "hover-empty", 0.5, 4, 64, 0, 8),
    ]
    (folder / "hover.json").write_text(json.dumps(cases) + "\n")
    floods = [watershed_case(seed, 40, heights) for seed, heights in enumerate([2, 5, 20, 1000])]
    (folder / "watershed.json").write_text(json.dumps(floods) + "\n")


if __name__ == "__main__":
    main()
