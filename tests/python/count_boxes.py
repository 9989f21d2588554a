"""Counts cells in boxes of a table with DuckDB, for the viewer's tests.

    count_boxes.py TABLE.parquet '[{"box": {"x0": …, "y0": …, "x1": …, "y1": …}, "step": 35}, …]'

Prints for each box the cells of class 0, 1, … with at least that score (in hundredths).
"""

import json
import sys

import duckdb

QUERY = """
select class_id, count(*) from read_parquet(?)
where x_px >= ? and x_px < ? and y_px >= ? and y_px < ? and score >= cast(? as float)
group by class_id
"""


def main():
    table, views = sys.argv[1], json.loads(sys.argv[2])
    connection = duckdb.connect()
    counts = []
    for view in views:
        box = view["box"]
        sides = [box["x0"], box["x1"], box["y0"], box["y1"]]
        threshold = f"{view['step'] / 100:.2f}"
        found = dict(connection.execute(QUERY, [table, *sides, threshold]).fetchall())
        counts.append([found.get(number, 0) for number in range(len(view["classes"]))])
    json.dump(counts, sys.stdout)


if __name__ == "__main__":
    main()
