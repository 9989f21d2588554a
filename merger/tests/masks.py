"""Compares masks with scikit-image and scipy, and their outlines with shapely."""

import json
import sys

import numpy as np
import shapely
from scipy import ndimage
from skimage import measure, morphology

EDGE_CONNECTED = 1


def bits(rows):
    return np.array([[c == "1" for c in row] for row in rows])


def padded(operation, mask, radius, outside):
    """Without the edge: what lies outside neither grows in nor eats."""
    wide = np.pad(mask, radius + 1, constant_values=outside)
    return operation(wide, morphology.disk(radius))[radius + 1 : -radius - 1, radius + 1 : -radius - 1]


def dilate(mask, radius):
    return padded(ndimage.binary_dilation, mask, radius, False)


def erode(mask, radius):
    return padded(ndimage.binary_erosion, mask, radius, True)


for case in json.load(open(sys.argv[1])):
    mask = bits(case["mask"])
    labels = measure.label(mask, connectivity=EDGE_CONNECTED)
    assert (labels == np.array(case["labels"])).all()
    assert (dilate(mask, 3) == bits(case["dilated"])).all()
    assert (erode(mask, 2) == bits(case["eroded"])).all()
    assert (dilate(erode(mask, 2), 2) == bits(case["opened"])).all()
    assert (erode(dilate(mask, 4), 4) == bits(case["closed"])).all()
    inner = morphology.opening(mask, morphology.disk(2))
    away = np.s_[3:-3, 3:-3]
    assert (inner[away] == bits(case["opened"])[away]).all()
    assert (ndimage.binary_fill_holes(mask) == bits(case["filled"])).all()
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    assert ((sizes >= 20)[labels] == bits(case["without_small"])).all()
    for name in ["polygons", "simpler"]:
        for polygon in case[name]:
            shape = shapely.Polygon(polygon["outer"], polygon["holes"])
            assert shape.is_valid, shapely.is_valid_reason(shape)
            assert np.isclose(shape.area, polygon["area"])
            assert np.isclose(shape.length, polygon["perimeter"])
