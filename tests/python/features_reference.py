"""What scipy and scikit-image say of seeded random cells, for `merger/tests/features.rs`.

    python features_reference.py --out FOLDER

Writes FOLDER/neighbours.json: nearest neighbours by cKDTree, sides by Delaunay, entropy by scipy.stats, and density on a
ground of px of 4 µm by plain numpy. And FOLDER/shapes.json: direction and elongation of outlines by regionprops, of the px
that they hold. And FOLDER/textures.json: pairs of grey levels by graycomatrix and graycoprops, spreads by numpy, of
pictures whose densities are unmixed by numpy.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.path import Path as Outline
from scipy.spatial import Delaunay, cKDTree
from scipy.stats import entropy
from skimage.draw import polygon2mask
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops

CLASSES = 3
NEAR_UM = 50.0
DENSITY_UM = 100.0
LONGEST_SIDE_UM = 50.0
COMPARED = 10
PX_UM = 4.0
GROUND_PX = 1000
LEAST_SEEN = 0.25


def sides(points):
    """Both ends of each side of the triangulation that is not too long."""
    corners = Delaunay(points).simplices
    pairs = np.vstack([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    lengths = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    return pairs[lengths <= LONGEST_SIDE_UM], lengths[lengths <= LONGEST_SIDE_UM]


def seen_mm2(point, columns):
    """Area of the ground's first columns within the disc around the px of a point."""
    px = np.floor(np.array(point) / PX_UM)
    reach = int(DENSITY_UM / PX_UM)
    steps = np.arange(-reach, reach + 1)
    off_x, off_y = np.meshgrid(steps, steps)
    inside = off_x**2 + off_y**2 <= (DENSITY_UM / PX_UM) ** 2
    x, y = off_x + px[0], off_y + px[1]
    seen = inside & (x >= 0) & (x < columns) & (y >= 0) & (y < GROUND_PX)
    share = max(seen.sum() / inside.sum(), LEAST_SEEN)
    return share * np.pi * DENSITY_UM**2 * 1e-6


def neighbours(name, points, classes, columns):
    tree = cKDTree(points)
    distances, nearest = tree.query(points, k=len(points))
    near = tree.query_ball_point(points, NEAR_UM)
    in_disc = tree.query_ball_point(points, DENSITY_UM, return_length=True)
    pairs, lengths = sides(points)
    expected = []
    for cell in range(len(points)):
        around = lengths[(pairs == cell).any(axis=1)]
        compared = classes[nearest[cell, 1 : COMPARED + 1]]
        others = [other for other in near[cell] if other != cell]
        expected.append(
            {
                "nn1_um": distances[cell, 1],
                "nn5_um": distances[cell, 5] if len(points) > 5 else None,
                "n_by_class_50um": np.bincount(classes[others], minlength=CLASSES).tolist(),
                "local_density_mm2": in_disc[cell] / seen_mm2(points[cell], columns),
                "delaunay_degree": len(around),
                "delaunay_mean_um": around.mean() if len(around) else None,
                "clustering_entropy": (
                    entropy(np.bincount(compared)) if len(compared) == COMPARED else None
                ),
            }
        )
    cells = [[x, y, int(kind)] for (x, y), kind in zip(points.tolist(), classes)]
    return {"name": name, "cells": cells, "analysed_columns": columns, "expected": expected}


def slides():
    random = np.random.default_rng(58)
    even = random.uniform(0, [900, 700], (1200, 2))
    yield "even", even, random.integers(0, CLASSES, len(even)), GROUND_PX
    centres = random.uniform(200, 3500, (12, 2))
    clusters = np.vstack([random.normal(centre, 40, (90, 2)) for centre in centres])
    of_cluster = np.repeat(random.integers(0, CLASSES, len(centres)), 90)
    mixed = np.where(random.random(len(clusters)) < 0.8, of_cluster, random.integers(0, CLASSES, len(clusters)))
    yield "clusters", clusters, mixed, 500
    sparse = random.uniform(0, 3900, (40, 2))
    yield "sparse", sparse, random.integers(0, CLASSES, len(sparse)), 600
    few = random.uniform(0, 60, (4, 2))
    yield "few", few, np.array([0, 1, 2, 0]), GROUND_PX


def outlines():
    """Rings of 12 to 60 corners, smooth and dented, some ten times as large as nuclei: their px then make good moments."""
    random = np.random.default_rng(59)
    for _ in range(60):
        corners = random.integers(12, 60)
        angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
        radii = 1 + 0.15 * np.cos(3 * angles + random.uniform(0, 6)) + random.normal(0, 0.02, corners)
        along, across = random.uniform(150, 300), random.uniform(60, 130)
        turn = random.uniform(0, np.pi)
        x, y = along * radii * np.cos(angles), across * radii * np.sin(angles)
        ring = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
        yield ring + 400


def shape(ring):
    [found] = regionprops(polygon2mask((800, 800), ring[:, ::-1] - 0.5).astype(int))
    return {
        "ring": ring.tolist(),
        # Theirs goes from the rows towards the columns.
        "orientation_deg": (90 - np.degrees(found.orientation)) % 180,
        "elongation": found.axis_major_length / found.axis_minor_length,
    }


# Absorption of red, green and blue by hematoxylin, eosin and DAB (Ruifrok and Johnston 2001).
ABSORBS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
UNMIX = np.linalg.inv(ABSORBS / np.linalg.norm(ABSORBS, axis=1, keepdims=True))
LEVELS = 16
LEVEL_OD = 0.1
ANGLES = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]


def pictures():
    """Windows of 48 × 40 px with structure of several sizes, and an outline in each."""
    random = np.random.default_rng(60)
    for _ in range(40):
        rough = random.normal(0, 1, (12, 10, 2))
        smooth = np.kron(rough, np.ones((4, 4, 1)))
        fine = random.normal(0, random.uniform(0.01, 0.4), (48, 40, 2))
        amounts = np.clip([0.7, 0.3] + 0.25 * smooth + fine, 0, 2.2)
        density = amounts @ (ABSORBS / np.linalg.norm(ABSORBS, axis=1, keepdims=True))[:2]
        pixels = np.clip(np.round(255 * 10**-density), 0, 255).astype(np.uint8)
        angles = np.linspace(0, 2 * np.pi, 17, endpoint=False)
        radii = random.uniform(6, 18) * (1 + 0.2 * np.cos(2 * angles + random.uniform(0, 6)))
        ring = np.stack([20 + radii * np.cos(angles), 24 + radii * np.sin(angles)], axis=1).astype(np.float32)
        yield pixels, ring.astype(float)


def inside(ring, height, width):
    """Px whose centres an outline holds."""
    rows, columns = np.mgrid[:height, :width]
    centres = np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5
    return Outline(ring).contains_points(centres).reshape(height, width)


def spread(densities):
    return [densities.std(), np.percentile(densities, 10), np.percentile(densities, 90)]


def texture(pixels, ring):
    height, width, _ = pixels.shape
    densities = -np.log10(np.maximum(pixels, 1) / 255) @ UNMIX
    is_in = inside(ring, height, width)
    levels = np.clip(np.floor(densities[..., 0] / LEVEL_OD), 0, LEVELS - 1).astype(np.uint8) + 1
    levels[~is_in] = 0
    pairs = graycomatrix(levels, [1], ANGLES, levels=LEVELS + 1, symmetric=True)[1:, 1:]
    names = ["contrast", "homogeneity", "entropy", "correlation"]
    return {
        "pixels": pixels.ravel().tolist(),
        "width": width,
        "ring": ring.tolist(),
        "pairs": [graycoprops(pairs, name).mean() for name in names],
        "hematoxylin": spread(densities[is_in, 0]),
        "eosin": spread(densities[is_in, 1]),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, required=True)
    out = arguments.parse_args().out
    found = [neighbours(*slide) for slide in slides()]
    (out / "neighbours.json").write_text(json.dumps(found))
    (out / "textures.json").write_text(json.dumps([texture(*picture) for picture in pictures()]))
    (out / "shapes.json").write_text(json.dumps([shape(ring) for ring in outlines()]))


main()
