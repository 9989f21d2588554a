"""What scikit-image and numpy say of seeded px of hematoxylin and DAB, for `tests/staining.rs`.

    python stains_reference.py --out FOLDER

Writes FOLDER/stains.json, a list of cases:

    side        the px are a square of this side, row by row
    pixels      red, green, blue of each
    vectors     absorption by hematoxylin and by DAB that scikit-image is given
    amounts     optical densities of both in the first px, by skimage.color.separate_stains
    estimated   both vectors, by the method of Macenko et al. 2009, written here from the paper

scikit-image gives no amount below zero.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from skimage.color import separate_stains

SIDE = 220
#: Px whose amounts are compared.
COMPARED = 400
RUIFROK = [[0.65, 0.70, 0.29], [0.27, 0.57, 0.78]]
#: Natural optical density in every channel from which a px counts as stained, and percentage of px beyond a dye.
BETA = 0.15
ALPHA = 1


def painted(random, vectors):
    """Px of cytoplasm, of blue and of brown nuclei, with noise."""
    count = SIDE * SIDE
    kind = random.choice(3, count, p=[0.3, 0.4, 0.3])
    hematoxylin = np.choose(kind, [random.uniform(0.02, 0.2, count), random.uniform(0.3, 0.9, count), random.uniform(0.05, 0.4, count)])
    dab = np.choose(kind, [random.uniform(0, 0.05, count), random.uniform(0, 0.04, count), random.uniform(0.2, 1.0, count)])
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    light = 255 * 10.0 ** -(np.outer(hematoxylin, units[0]) + np.outer(dab, units[1]))
    return np.clip(np.round(light + random.normal(0, 1.5, light.shape)), 1, 255).astype(np.uint8)


def separated(pixels, vectors):
    """Optical densities (base 10) of both dyes; the third vector is perpendicular to them."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    third = np.cross(*units)
    rows = np.vstack([units, third / np.linalg.norm(third)])
    amounts = separate_stains(pixels[None], np.linalg.inv(rows))[0, :, :2]
    # scikit-image counts in units of the density of 1e-6.
    return amounts * 6


def macenko(pixels):
    density = -np.log(np.maximum(pixels, 1) / 255)
    stained = density[(density >= BETA).all(axis=1)]
    _, vectors = np.linalg.eigh(np.cov(stained.T))
    plane = vectors[:, 1:]
    # An eigenvector may point either way: both are turned towards the px.
    plane = plane * np.where(stained.mean(axis=0) @ plane < 0, -1, 1)
    across = stained @ plane
    angles = np.arctan2(across[:, 1], across[:, 0])
    ends = np.percentile(angles, [ALPHA, 100 - ALPHA])
    dyes = (plane @ np.vstack([np.cos(ends), np.sin(ends)])).T
    return sorted(dyes.tolist(), key=lambda dye: dye[2] - dye[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    random = np.random.default_rng(57)
    cases = []
    for vectors in [RUIFROK, [[0.55, 0.76, 0.35], [0.32, 0.52, 0.79]], [[0.70, 0.66, 0.27], [0.22, 0.48, 0.85]]]:
        vectors = np.array(vectors)
        pixels = painted(random, vectors)
        cases.append({
            "side": SIDE,
            "pixels": pixels.tolist(),
            "vectors": vectors.tolist(),
            "amounts": separated(pixels[:COMPARED], vectors).tolist(),
            "estimated": macenko(pixels),
        })
    out.mkdir(parents=True, exist_ok=True)
    (out / "stains.json").write_text(json.dumps(cases))


if __name__ == "__main__":
    main()
