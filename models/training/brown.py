"""Immunohistochemistry from H&E: what a crop would look like stained with haematoxylin and
diaminobenzidine (H-DAB), batch by batch where the network is.

Eosin goes but for a pale rest, haematoxylin turns bluer and paler, and a share of the nuclei
turn brown, each as strongly as it happens to: the ellipse of its box, with the
haematoxylin's own texture. Other pictures have brown round their nuclei instead, ragged, as
markers of membranes and cytoplasm have. Nothing moves, so boxes and masks stay true.

    python brown.py --out sheet.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

import augment
import loss

REACH = 32
"""Pixels looked at round a nucleus, to each side."""

BLUE = np.array([0.82, 0.52, 0.23])
"""Optical density, per RGB, of haematoxylin as a counterstain: bluer than beside eosin."""


def stain(draw: augment.Draw, images: Tensor, truth: loss.Truth, share: float) -> Tensor:
    """Turns a ``share`` of the pictures to H-DAB; the others stay as they are."""
    chosen = draw.uniform(0, 1, 1, 1, 1) < share
    return torch.where(chosen, stained(draw, images, truth), images)


def stained(draw: augment.Draw, images: Tensor, truth: loss.Truth) -> Tensor:
    """All pictures as H-DAB, float32 [B, 3, S, S] in 0..1."""
    haematoxylin, eosin, _ = augment.unmixed(images).clamp(min=0).split(1, dim=1)
    level = haematoxylin[:, :, ::4, ::4].flatten(1).quantile(torch.tensor([0.2, 0.93], device=images.device), dim=1)
    low, high = (part[:, None, None, None] for part in level)
    low = low * draw.uniform(0.3, 1.0, 1, 1, 1)
    nuclear = ((haematoxylin - low) / (high - low).clamp(min=0.25)).clamp(0, 1.6)

    # Which nuclei are brown in a picture: none, all, or any share of them; and how strongly at most.
    kind = draw.uniform(0, 1, 1, 1, 1)
    within, around = (kind < 0.75).float(), (kind > 0.62).float()
    positive = (draw.uniform(-0.2, 1.2, 1, 1, 1).clamp(0, 1)) ** 1.5
    strength = draw.uniform(0.5, 3.6, 1, 1, 1)
    inner = per_nucleus(draw, images, truth, positive, size=1.1, sharpness=9.0)
    outer = per_nucleus(draw, images, truth, positive, size=1.75, sharpness=5.0)

    body = (nuclear / 0.5).clamp(0, 1)
    texture = torch.lerp(torch.ones_like(nuclear), nuclear, draw.uniform(0.3, 1.0, 1, 1, 1))
    core = inner * within * body * texture * speckle(draw, images, 2, 0.6)
    halo = outer * around * (1 - 0.8 * body) * speckle(draw, images, 4, 2.5) * draw.uniform(0.1, 0.6, 1, 1, 1)
    haze = (eosin + low) * draw.uniform(0, 1, 1, 1, 1) ** 3 * 0.3
    brown = (core + halo) * strength + haze

    left = 1 - (inner * within * draw.uniform(0.4, 1.0, 1, 1, 1)).clamp(0, 1)
    pale = eosin * draw.uniform(0.0, 0.2, 1, 1, 1)
    blue = nuclear * left * draw.uniform(0.3, 1.0, 1, 1, 1) + pale
    glass = draw.uniform(0.0, 0.12, 1, 1, 1) + draw.uniform(0.0, 0.03, 3, 1, 1)
    density = blue * counterstain(draw, images.device) + brown * vector(images.device, augment.HED[2]) + glass
    return (-density.clamp(0, 6)).exp()


def vector(device: torch.device, density: np.ndarray) -> Tensor:
    """A stain's colour, [1, 3, 1, 1], of length 1."""
    return augment.on(device, (density / np.linalg.norm(density))[None, :, None, None])


def counterstain(draw: augment.Draw, device: torch.device) -> Tensor:
    """Haematoxylin's colour in each picture, between what it is beside eosin and ``BLUE``."""
    mixed = torch.lerp(vector(device, augment.HED[0]), vector(device, BLUE), draw.uniform(0.3, 1.1, 1, 1, 1))
    return mixed / mixed.norm(dim=1, keepdim=True)


def speckle(draw: augment.Draw, images: Tensor, grain: int, contrast: float) -> Tensor:
    """Between 0 and 1.2, in spots of some ``grain`` pixels: [B, 1, S, S]."""
    side = images.shape[-1]
    coarse = draw.normal(contrast, 1, side // grain, side // grain)
    fine = functional.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)
    return 1.2 * (fine + 1).sigmoid()


def per_nucleus(
    draw: augment.Draw, images: Tensor, truth: loss.Truth, positive: Tensor, size: float, sharpness: float
) -> Tensor:
    """Soft ellipses [B, 1, S, S] in the boxes of a ``positive`` share of each picture's nuclei,
    each of a strength of its own from 0 to 1; ``size`` times as large as the boxes."""
    pictures, side = len(images), images.shape[-1]
    count = len(truth.boxes)
    luck, strength = (augment.on(images.device, draw.rng.uniform(size=count)) for _ in range(2))
    strength = (luck < positive.flatten()[truth.picture]) * (0.12 + 0.88 * strength)
    middle = (truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2
    half = (truth.boxes[:, 2:] - truth.boxes[:, :2]).clamp(min=4) / 2 * size
    near = torch.arange(-REACH, REACH, device=images.device)
    place = middle.floor().long()[:, :, None] + near
    offset = (place + 0.5 - middle[:, :, None]) / half[:, :, None]
    distance = (offset[:, 0, None, :].square() + offset[:, 1, :, None].square()).sqrt()
    value = strength[:, None, None] * ((1 - distance) * sharpness).sigmoid()
    inside = (place >= 0) & (place < side)
    value = value * (inside[:, 0, None, :] & inside[:, 1, :, None])
    x, y = place.clamp(0, side - 1).unbind(1)
    spot = (truth.picture[:, None, None] * side + y[:, :, None]) * side + x[:, None, :]
    sheet = torch.zeros(pictures * side * side, device=images.device)
    return sheet.scatter_reduce(0, spot.flatten(), value.flatten(), "amax").view(pictures, 1, side, side)


def main() -> None:
    """A sheet of crops and what becomes of them."""
    import data
    import train

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    own, rest = parser.parse_known_args()
    args = train.arguments(["--out", str(own.out), "--classes", "3", *rest])
    fields, _ = train.divided(args)
    crops = train.crops_of(fields, args, train.ENDLESS)
    device = torch.device("cpu")
    batch = train.collate([crops[own.seed * 100 + number] for number in range(15)])
    images, truth = train.on_device(train.pinned(batch, device), device)
    draw = augment.Draw(own.seed, len(images), device)
    images = augment.recolour(draw, stain(draw, images, truth, 0.8), train.colour_of(args))
    rows = (images * 255).byte().permute(0, 2, 3, 1).numpy().reshape(3, 5, args.size, args.size, 3)
    Image.fromarray(rows.transpose(0, 2, 1, 3, 4).reshape(3 * args.size, 5 * args.size, 3)).save(own.out)


if __name__ == "__main__":
    main()
