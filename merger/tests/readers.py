"""Reads a cells or regions table with geopandas, pyarrow, polars and DuckDB, and fails where
they differ. Prints rows and the rows of class `tumour`, or regions and their cells."""

import json
import sys

import duckdb
import geopandas
import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.parquet as pq

path = sys.argv[1]
frame = geopandas.read_parquet(path)
table = pq.read_table(path)
lazy = polars.read_parquet(path)
rows = len(frame)
assert rows == table.num_rows == lazy.height
assert rows == duckdb.sql(f"select count(*) from '{path}'").fetchall()[0][0]
assert frame.crs is None and table.column_names == lazy.columns
# geopandas takes the covering as such and does not show it.
assert frame.columns.tolist() == [name for name in table.column_names if name != "bbox"]


def keeps_ids(name):
    """Ids are the same in every reader, also in those that know no numbers but doubles."""
    ids = table[name].drop_null().to_pylist()
    assert table.schema.field(name).type == pyarrow.int64() and all(0 <= id < 2**53 for id in ids)
    assert lazy[name].drop_nulls().to_list() == ids
    assert [row[0] for row in duckdb.sql(f"select {name} from '{path}' where {name} is not null").fetchall()] == ids
    # Where some are missing, pandas has doubles; GeoJSON, JavaScript and R have nothing else.
    assert [int(id) for id in frame[name].dropna().astype("float64")] == ids
    nullable = pandas.read_parquet(path, columns=[name], dtype_backend="numpy_nullable")[name]
    assert nullable.dtype == "Int64" and nullable.dropna().tolist() == ids
    features = json.loads(frame[[name, "geometry"]].to_json(), parse_int=float)["features"]
    found = [feature["properties"][name] for feature in features]
    assert [int(id) for id in found if id is not None] == ids


for column in ["cell_id", "region_id"]:
    if column in table.column_names:
        keeps_ids(column)

if "region_id" in table.column_names and "n_holes" in table.column_names:
    mpp = json.loads(pq.read_metadata(path).metadata[b"slidemill"])["mpp_um_per_px"]
    assert frame.geometry.is_valid.all() and frame.geometry.exterior.is_ccw.all()
    assert np.allclose(frame.geometry.area * mpp * mpp, frame["area_um2"])
    assert np.allclose(frame.geometry.length * mpp, frame["perimeter_um"])
    assert [len(shape.interiors) for shape in frame.geometry] == frame["n_holes"].tolist()
    cells = int(frame["n_cells"].sum())
    assert cells == sum(sum(counts) for counts in frame["n_cells_by_class"]) == lazy["n_cells"].sum()
    print(f"regions {rows}, cells {cells}")
    sys.exit()

tumour = int((frame["class_name"] == "tumour").sum())
assert tumour == lazy.filter(polars.col("class_name") == "tumour").height
assert tumour == duckdb.sql(f"select count(*) from '{path}' where class_name = 'tumour'").fetchall()[0][0]
assert lazy["cell_id"].n_unique() == rows

if rows:
    assert (frame.geometry.geom_type == "Polygon").all() and frame.geometry.is_valid.all()
    assert frame.geometry.exterior.is_ccw.all()
    with_outline = frame["perimeter_um"].notna()
    mpp = json.loads(pq.read_metadata(path).metadata[b"slidemill"])["mpp_um_per_px"]
    areas = frame.geometry.area * mpp * mpp
    assert np.allclose(areas[with_outline], frame["area_um2"][with_outline], rtol=1e-5)
    assert np.allclose(areas[~with_outline] * np.pi / 4, frame["area_um2"][~with_outline], rtol=1e-5)
    assert np.allclose(frame.geometry.length[with_outline] * mpp, frame["perimeter_um"][with_outline], rtol=1e-5)
    bounds = frame.geometry.total_bounds
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
    assert np.allclose(bounds, geo["columns"]["geometry"]["bbox"])
    # A search by place gives what the geometries say.
    place = (20_000, 10_000, 40_000, 30_000)
    found = geopandas.read_parquet(path, bbox=place)
    assert len(found) == len(frame.cx[place[0] : place[2], place[1] : place[3]])
    # Every reader can skip row groups by place.
    group = pq.read_metadata(path).row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    for name in ["bbox.xmin", "bbox.ymin", "bbox.xmax", "bbox.ymax", "score", "x_px"]:
        assert columns[name].statistics.has_min_max, name
    lists = duckdb.sql(f"select sum(len(windows)) from '{path}'").fetchall()[0][0]
    assert lists == lazy["windows"].list.len().sum() == sum(len(w) for w in frame["windows"])

print(f"rows {rows}, tumour {tumour}")
