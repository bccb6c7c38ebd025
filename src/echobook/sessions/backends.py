"""Where a log of turns lives: a data frame, a CSV or Parquet file in DuckDB, or a Spark cluster.

Each function returns an Ibis table for `echobook.sessions.program`; none reads the data before the program
runs. DuckDB spills to disk beyond `memory_gb`. Spark is imported only when it is asked for and needs Java 17.
"""

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from echobook.sessions.quiet import former_names

READERS = {".csv": "read_csv", ".parquet": "read_parquet"}


@former_names()
def duckdb_table(
    source: pd.DataFrame | Path, *, memory_gb: float = 4.0, threads: int = 1, spill: Path | None = None
) -> ir.Table:
    """A log in DuckDB, from a frame or a .csv or .parquet file (or a folder of .parquet files).

    memory_gb bounds DuckDB's own memory; `spill` is the folder for what does not fit (default: beside the
    process). Raises FileNotFoundError or ValueError naming the file when it is missing or of another kind.
    """
    settings: dict[str, Any] = {"threads": threads, "memory_limit": f"{memory_gb}GB"}
    if spill is not None:
        settings["temp_directory"] = str(spill)
    connection = ibis.duckdb.connect(**settings)
    if isinstance(source, pd.DataFrame):
        connection.con.register("turns", pa.Table.from_pandas(source, preserve_index=False))
        return connection.table("turns")
    return _read(connection, source)


def spark_table(source: pd.DataFrame | Path, session: Any) -> ir.Table:
    """The same log in Spark; `session` is a pyspark SparkSession, local or of a cluster."""
    connection = ibis.pyspark.connect(session)
    if isinstance(source, pd.DataFrame):
        records = [
            tuple(row.values()) for row in pa.Table.from_pandas(source, preserve_index=False).to_pylist()
        ]
        session.createDataFrame(records, list(source.columns)).createOrReplaceTempView("turns")
        return connection.table("turns")
    return _read(connection, source)


def local_spark(*, cores: int = 1) -> Any:
    """A small local SparkSession without a web page, for tests and slices of a log."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{cores}]").appName("sessions")
    quiet = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": str(cores),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
    }
    for key, value in quiet.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _read(connection: Any, source: Path) -> ir.Table:
    if not source.exists():
        raise FileNotFoundError(f"no log at {source}")
    kind = ".parquet" if source.is_dir() else source.suffix
    if kind not in READERS:
        raise ValueError(
            f"{source.name}: expected a .csv or .parquet file, got {source.suffix or 'no suffix'}"
        )
    path = source / "*.parquet" if source.is_dir() and connection.name == "duckdb" else source
    return getattr(connection, READERS[kind])(str(path))
