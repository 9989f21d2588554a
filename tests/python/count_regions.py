"""Counts of cells in regions of interest as shapely makes them, from the cells table and the drawn polygons.

    python count_regions.py CELLS.parquet REGIONS.parquet ROI.geojson EXCLUDED_CLASS > counts.json

A cell belongs to a region when its centroid does. Cells within 1/32 px of a border are told apart: our regions are
rounded to 1/64 px. Tissue is what the regions table has of it.
"""

import json
import sys

import pyarrow.parquet as pq
import shapely
from shapely.geometry import shape

cells, found, drawn, excluded = sys.argv[1:]
table = pq.read_table(cells, columns=["x_px", "y_px"])
points = shapely.points(table["x_px"].to_numpy(), table["y_px"].to_numpy())
outlines = pq.read_table(found, columns=["kind", "geometry"]).to_pylist()
tissue = shapely.union_all([shapely.from_wkb(row["geometry"]) for row in outlines if row["kind"] == "tissue"])
with open(drawn) as file:
    features = json.load(file)["features"]


def class_of(feature):
    return feature["properties"].get("classification", {}).get("name")


cut = shapely.union_all([shape(f["geometry"]) for f in features if class_of(f) == excluded])
regions = []
for feature in features:
    if class_of(feature) == excluded:
        continue
    area = shape(feature["geometry"]).difference(cut)
    near = shapely.distance(shapely.boundary(area), points) < 1 / 32
    regions.append(
        {
            "name": feature["properties"].get("name"),
            "class_name": class_of(feature),
            "cells": int(shapely.contains(area, points).sum()),
            "near_border": int(near.sum()),
            "area_px2": area.area,
            "tissue_px2": area.intersection(tissue).area,
        }
    )
union = shapely.union_all([shape(f["geometry"]) for f in features if class_of(f) != excluded]).difference(cut)
outside = shapely.distance(union, points) > 1 / 32
print(json.dumps({"regions": regions, "outside": int(outside.sum())}))
