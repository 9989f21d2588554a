#!/usr/bin/env python3
"""Writes the contract of maps of points: random weights, and the peaks that scikit-image finds in them.

    python models/contracts/points.py

The models of this kind (KongNet, MapDe, SCCNN) are not on the package index with a tiny configuration. The network below
is plain torch with the published layout of KongNet: heads of three maps each, of which `target_channels` names the
one that is read, a sigmoid, and `skimage.feature.peak_local_max(map, min_distance, threshold_abs, exclude_border=False)`.
"""

import skimage
import torch
from skimage.feature import peak_local_max
from torch import nn

import contract

SIDE = 64
MPP = 0.5
MIN_DISTANCE_PX, DIAMETER_PX = 5, 16
TARGET_CHANNELS = [2, 5]


class Heads(nn.Module):
    """Two heads of three maps at half the resolution, smooth enough to have peaks rather than noise."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.smooth = nn.AvgPool2d(7, stride=1, padding=3, count_include_pad=False)
        self.heads = nn.Conv2d(8, 6, 1)

    def forward(self, pixels):
        maps = self.heads(self.smooth(torch.relu(self.look(pixels))))
        # Scaled up again, so that a place of the maps is a pixel, as in KongNet.
        return nn.functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


def main():
    torch.manual_seed(11)
    model = Heads().eval()
    nn.init.normal_(model.look.weight, std=1.0)
    nn.init.normal_(model.heads.weight, std=3.0)
    pixels = contract.tensor(SIDE)
    with torch.no_grad():
        maps = model(pixels)
        # Centred, so that half of the places are above a probability of 0.5.
        model.heads.bias -= maps.mean(dim=(0, 2, 3))
        maps = torch.sigmoid(model(pixels))[0].numpy()
    conf = contract.threshold([score for _, score, _ in peaks(maps, 0.0)])
    found = peaks(maps, conf)
    size = contract.export("points", model, (pixels,), ["images"], ["maps"])
    contract.write_reference("points", f"scikit-image {skimage.__version__}", SIDE, conf, found)
    contract.write_manifest("points", MANIFEST.format(mpp=MPP, conf=conf, distance=MIN_DISTANCE_PX * MPP,
                                                      diameter=DIAMETER_PX * MPP, channels=TARGET_CHANNELS))
    print(f"points: {size} bytes, {len(found)} peaks above {conf}")


MANIFEST = """# Maps of points in the layout of KongNet. Random weights: it finds nothing.
head = "points"
activation = "sigmoid"
mpp = {mpp}
conf = {conf}
stride = 2

[points]
min_distance_um = {distance}
diameter_um = {diameter}
channels = {channels}

[input]
mean = [0.0, 0.0, 0.0]

[[classes]]
name = "lymphocyte"

[[classes]]
name = "monocyte"
"""


def peaks(maps, conf):
    """The peaks of each class as boxes of the nominal diameter around the centres of their pixels, best first."""
    found = []
    for label, channel in enumerate(TARGET_CHANNELS):
        plane = maps[channel]
        at = peak_local_max(plane, min_distance=MIN_DISTANCE_PX, threshold_abs=conf, exclude_border=False)
        for row, column in at.tolist():
            half = DIAMETER_PX / 2
            box = (column + 0.5 - half, row + 0.5 - half, column + 0.5 + half, row + 0.5 + half)
            found.append((box, plane[row, column], label))
    return sorted(found, key=lambda row: -row[1])


if __name__ == "__main__":
    main()
