"""What pyarrow and polars see of a table of patches: its rows, and the vector of window 4.

    python patches.py part-0.parquet
"""

import sys

import polars
import pyarrow
import pyarrow.parquet

path = sys.argv[1]
table = pyarrow.parquet.read_table(path)
kind = table.schema.field("embedding").type
assert pyarrow.types.is_fixed_size_list(kind) and kind.value_type == pyarrow.float16(), kind
row = table["window"].to_pylist().index(4)
print("pyarrow", table.num_rows, [float(value) for value in table["embedding"][row].as_py()])

frame = polars.read_parquet(path)
vector = frame.filter(polars.col("window") == 4)["embedding"].to_list()[0]
print("polars", len(frame), [float(value) for value in vector])
