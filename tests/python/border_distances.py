"""Distances from the border of regions, and bands along it, as shapely makes them.

    python border_distances.py CELLS.parquet ROI.geojson CLASS EXCLUDED_CLASS MPP WIDTH HEIGHT EDGES_UM > bands.json

The border is that of all regions of CLASS together, as they were drawn; EXCLUDED_CLASS is cut out of the bands and makes
no border. WIDTH and HEIGHT are those of the slide, px; EDGES_UM are the ends of the bands: -200,0,200. Cells within
0.1 µm of an end of a band are told apart: outlines of bands have round ends of straight sides.
"""

import json
import sys

import numpy as np
import pyarrow.parquet as pq
import shapely
from shapely.geometry import shape

cells, drawn, own_class, excluded, mpp, width, height, edges = sys.argv[1:]
mpp = float(mpp)
edges = [float(edge) for edge in edges.split(",")]
table = pq.read_table(cells, columns=["x_px", "y_px", "distance_um"])
points = shapely.points(table["x_px"].to_numpy(), table["y_px"].to_numpy())
with open(drawn) as file:
    features = json.load(file)["features"]


def together(name):
    named = [f for f in features if f["properties"].get("classification", {}).get("name") == name]
    return shapely.union_all([shape(f["geometry"]) for f in named])


area, cut = together(own_class), together(excluded)
border = shapely.boundary(area)
inside = shapely.contains(area, points)
distance = shapely.distance(border, points) * mpp * np.where(inside, -1, 1)
ours = table["distance_um"].to_numpy(zero_copy_only=False)
is_cut = shapely.contains(cut, points)
slide = shapely.box(0, 0, float(width), float(height))


def side(edge):
    """The area between the border and a distance from it."""
    near = shapely.buffer(border, abs(edge) / mpp, quad_segs=128)
    return near.intersection(area) if edge < 0 else near.difference(area)


bands = []
for low, high in zip(edges, edges[1:]):
    if low < 0 < high:
        place = side(low).union(side(high))
    elif high <= 0:
        place = side(low).difference(side(high))
    else:
        place = side(high).difference(side(low))
    place = place.intersection(slide).difference(cut)
    between = (distance >= low) & (distance < high) & ~is_cut
    near_end = (np.abs(distance - low) < 0.1) | (np.abs(distance - high) < 0.1)
    near_cut = shapely.distance(shapely.boundary(cut), points) < 0.1
    bands.append(
        {
            "cells": int(between.sum()),
            "near_border": int((near_end | near_cut).sum()),
            "area_um2": place.area * mpp**2,
        }
    )
print(
    json.dumps(
        {
            "cells": len(ours),
            "without": int(np.isnan(ours).sum()),
            "most_off_um": float(np.nanmax(np.abs(ours - distance), initial=0)),
            "bands": bands,
        }
    )
)
