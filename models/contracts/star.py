#!/usr/bin/env python3
"""Writes the contract of star heads: random weights, and the objects that StarDist's own suppression leaves.

    pip install -r models/contracts/requirements.txt
    python models/contracts/star.py

StarDist's networks are Keras models. The network below is plain torch with their inputs and outputs: pixels with their
channels last, a probability and distances along rays at every second px, and scores of classes after one of none, all
channels last. Decoding is `stardist.nms.non_maximum_suppression` and `stardist.geometry.dist_to_coord`.
"""

import numpy as np
import stardist
import torch
from stardist.geometry.geom2d import dist_to_coord, ray_angles
from stardist.nms import non_maximum_suppression
from torch import nn

import contract

SIDE = 96
GRID = 2
RAYS = 16
OVERLAP = 0.3
SPARSE = 0.53
CLASSES = ["epithelial", "stromal"]


class Maps(nn.Module):
    """Maps at half the resolution, smooth enough to have objects rather than noise."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 12, 3, stride=GRID, padding=1)
        self.smooth = nn.AvgPool2d(9, stride=1, padding=4, count_include_pad=False)
        self.probability = nn.Conv2d(12, 1, 1)
        self.distances = nn.Conv2d(12, RAYS, 1)
        self.classes = nn.Conv2d(12, len(CLASSES) + 1, 1)

    def forward(self, pixels):
        seen = self.smooth(torch.relu(self.look(pixels.permute(0, 3, 1, 2))))
        seen = (seen - seen.mean(dim=(2, 3), keepdim=True)) * 8
        probability = torch.sigmoid(self.probability(seen))
        distances = 6 + torch.tanh(self.distances(seen)) * 2
        classes = torch.softmax(self.classes(seen), dim=1)
        return tuple(maps.permute(0, 2, 3, 1) for maps in (probability, distances, classes))


def main():
    torch.manual_seed(3)
    model = Maps().eval()
    nn.init.normal_(model.look.weight, std=1.0)
    pixels = contract.tensor(SIDE).permute(0, 2, 3, 1).contiguous()
    with torch.no_grad():
        probability, distances, classes = (maps[0].numpy() for maps in model(pixels))
    # StarDist rounds corners to whole px before it shares areas, so that what stays of a crowd is a matter of rounding.
    conf = contract.threshold(probability[probability > SPARSE])
    found = objects(probability[..., 0], distances, classes, conf)
    size = contract.export("star", model, (pixels,), ["input"], ["prob", "dist", "prob_class"])
    contract.write_reference("star", f"stardist {stardist.__version__}", SIDE, conf, found)
    contract.write_manifest("star", MANIFEST.format(conf=conf, overlap=OVERLAP))
    print(f"star: {size} bytes, {len(found)} objects above {conf} of {int((probability > conf).sum())} places")


MANIFEST = """# Maps in the layout of StarDist. Random weights: it finds nothing.
mpp = 0.5
conf = {conf}
stride = 2

[star]
overlap = {overlap}

[input]
mean = [0.0, 0.0, 0.0]

[[classes]]
name = "epithelial"

[[classes]]
name = "stromal"
"""


def objects(probability, distances, classes, conf):
    """Boxes of the outlines that stay, scores and best classes, best first; rays end at the border of the picture."""
    points, scores, kept = non_maximum_suppression(
        distances, probability, grid=(GRID, GRID), b=0, nms_thresh=OVERLAP, prob_thresh=conf)
    rows = []
    for point, score, rays in zip(points, scores, kept, strict=True):
        # Coordinates are indices of px, whose centres lie half a px further in a window.
        outline = dist_to_coord(shortened(rays, point)[None], point[None])[0] + 0.5
        (y0, x0), (y1, x1) = outline.min(axis=1), outline.max(axis=1)
        row, column = point // GRID
        rows.append(((x0, y0, x1, y1), score, int(np.argmax(classes[row, column, 1:]))))
    return rows


def shortened(rays, point):
    """Distances from the centre of a px to the border where that is nearer."""
    angles = ray_angles(len(rays))
    ends = [to_border(at + 0.5, step) for at, step in zip(point, (np.sin(angles), np.cos(angles)), strict=True)]
    return np.minimum.reduce([np.maximum(rays, 1e-3), *ends])


def to_border(at, steps):
    """Steps from a place to either end of an axis."""
    with np.errstate(divide="ignore"):
        return np.where(steps > 0, SIDE - at, at) / np.abs(steps)


if __name__ == "__main__":
    main()
