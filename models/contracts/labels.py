#!/usr/bin/env python3
"""Writes the contract of label maps: random weights, and the objects that scikit-image finds in them.

    python models/contracts/labels.py

InstanSeg's own export is TorchScript. The network below is plain torch and makes objects as such models do, inside the graph:
places of a grid are seeds with a number each, which grow step by step through what is foreground and has none yet, until they touch. It
answers int64 numbers `[B, 2, H, W]`, one map for each class. Boxes are those of `skimage.measure.regionprops`.
"""

import numpy as np
import skimage
import torch
from skimage.measure import label, regionprops
from torch import nn

import contract

SIDE = 64
STEPS = 12
SEED_PX = 6
MAPS = 2


class Labels(nn.Module):
    """Two maps that are smooth enough to have objects, and the numbers of these."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 8, 3, padding=1)
        self.smooth = nn.AvgPool2d(9, stride=1, padding=4, count_include_pad=False)
        self.heads = nn.Conv2d(8, MAPS, 1)
        places = torch.arange(SIDE * SIDE).reshape(SIDE, SIDE)
        is_seed = (places // SIDE % SEED_PX == 3) & (places % SEED_PX == 3)
        self.register_buffer("seeds", (is_seed * (places + 1)).float())
        # Neighbours above, below, left and right.
        self.down = nn.MaxPool2d((3, 1), stride=1, padding=(1, 0))
        self.across = nn.MaxPool2d((1, 3), stride=1, padding=(0, 1))

    def maps(self, pixels):
        return self.heads(self.smooth(torch.relu(self.look(pixels))))

    def forward(self, pixels):
        inside = (self.maps(pixels) > 0).float()
        # No peaks of the maps: equal ones would be told apart by rounding.
        numbers = inside * self.seeds
        for _ in range(STEPS):
            grown = torch.maximum(self.down(numbers), self.across(numbers)) * inside
            numbers = torch.where(numbers > 0, numbers, grown)
        return numbers.to(torch.int64)


def objects(numbers, kind):
    """Box, score and class of the largest part of each number; a corner joins nothing."""
    rows = []
    for region in regionprops(numbers):
        top, left, _, _ = region.bbox
        parts = regionprops(label(region.image, connectivity=1))
        largest = max(parts, key=lambda part: part.area)
        y0, x0, y1, x1 = largest.bbox
        rows.append(((left + x0, top + y0, left + x1, top + y1), 1.0, kind))
    return rows


def best_first(row):
    (x0, y0, x1, y1), _, kind = row
    return y0, x0, y1, x1, kind


def main():
    torch.manual_seed(5)
    model = Labels().eval()
    nn.init.normal_(model.look.weight, std=1.0)
    nn.init.normal_(model.heads.weight, std=3.0)
    pixels = contract.tensor(SIDE)
    with torch.no_grad():
        maps = model.maps(pixels)
        # Half of the places are foreground.
        model.heads.bias -= maps.mean(dim=(0, 2, 3))
        nearest = model.maps(pixels).abs().min().item()
        numbers = model(pixels)[0].numpy()
    if nearest < contract.MOST_DIFFERENCE:
        raise SystemExit(f"a place lies at the threshold: {nearest}")
    found = sorted((row for kind in range(MAPS) for row in objects(numbers[kind], kind)), key=best_first)
    size = contract.export("labels", model, (pixels,), ["images"], ["labels"])
    contract.write_reference("labels", f"scikit-image {skimage.__version__}", SIDE, 0.5, found)
    contract.write_manifest("labels", MANIFEST)
    counts = np.bincount([kind for _, _, kind in found])
    print(f"labels: {size} bytes, objects by class {counts.tolist()}")


MANIFEST = """# Numbers of objects, a map for each class. Random weights: it finds nothing.
head = "labels"
mpp = 0.5
stride = 1

[input]
mean = [0.0, 0.0, 0.0]

[[classes]]
name = "nucleus"

[[classes]]
name = "cell"
"""


if __name__ == "__main__":
    main()
