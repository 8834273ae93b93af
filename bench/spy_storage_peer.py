"""Bytes that others take for bars given as JSON rows on standard input: time in ms, then integers. Prints one JSON object: name → bytes a row.

Run with the peers' first environment for Parquet and DuckDB, with their second one for ArcticDB: whatever can be imported is measured."""

import json
import os
import sys
import tempfile

import numpy as np

NAMES = ["ts", "open", "high", "low", "close", "volume"]
columns = dict(zip(NAMES, np.array(json.load(sys.stdin), dtype=np.int64).T))
count, sizes, folder = len(columns["ts"]), {}, tempfile.mkdtemp()


def folder_size(path: str) -> int:
    return sum(os.path.getsize(os.path.join(root, name)) for root, _, names in os.walk(path) for name in names)


if sys.argv[1] == "arctic":
    import arcticdb
    import pandas

    frame = pandas.DataFrame({name: columns[name] for name in NAMES[1:]}, index=pandas.DatetimeIndex(columns["ts"].astype("M8[ms]"), name="ts"))
    library = arcticdb.Arctic(f"lmdb://{folder}/arctic?map_size=1GB").get_library("bars", create_if_missing=True)
    library.write("SPY", frame)
    sizes["ArcticDB"] = folder_size(f"{folder}/arctic") / count
else:
    import duckdb
    import pyarrow
    import pyarrow.parquet

    # Four bytes where they fit: the smaller of the two for Parquet.
    table = pyarrow.table({name: columns[name] if name == "ts" else columns[name].astype(np.int32) for name in NAMES})
    best = []
    for rows in (5_000, 10_000, 23_400, 65_536, 1 << 20):
        path = f"{folder}/{rows}.parquet"
        pyarrow.parquet.write_table(
            table, path, compression="zstd", compression_level=19, row_group_size=rows, use_dictionary=False,
            column_encoding={name: "DELTA_BINARY_PACKED" for name in NAMES})
        best.append(os.path.getsize(path) / count)
    sizes["Parquet zstd-19, delta, best row group"] = min(best)
    connection = duckdb.connect(f"{folder}/bars.duckdb")
    connection.register("bars", table)
    connection.execute("CREATE TABLE spy AS SELECT * FROM bars ORDER BY ts")
    connection.execute("CHECKPOINT")
    connection.close()
    sizes["DuckDB"] = os.path.getsize(f"{folder}/bars.duckdb") / count
print(json.dumps(sizes))
