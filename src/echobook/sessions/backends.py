"""Where a log of turns lives: a data frame, a CSV or Parquet file in DuckDB, or a Spark cluster.

Each function returns an Ibis table for `echobook.sessions.program`; none reads the data before the program
runs. DuckDB spills to disk beyond `memory_gb`. Spark is imported only when it is asked for and needs Java 17.
A file is named by its path; for Spark also by an address that the cluster knows (hdfs://, s3a://).
"""

import shutil
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
    source: pd.DataFrame | str | Path, *, memory_gb: float = 4.0, threads: int = 1, spill: Path | None = None
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


def spark_table(source: pd.DataFrame | str | Path, session: Any) -> ir.Table:
    """The same log in Spark; `session` is a pyspark SparkSession, local or of a cluster.

    A path must be seen by all nodes; an address with `://` is read as Parquet unless it ends in .csv.
    """
    connection = ibis.pyspark.connect(session)
    if isinstance(source, pd.DataFrame):
        records = [
            tuple(row.values()) for row in pa.Table.from_pandas(source, preserve_index=False).to_pylist()
        ]
        session.createDataFrame(records, list(source.columns)).createOrReplaceTempView("turns")
        return connection.table("turns")
    return _read(connection, source)


def local_spark(*, cores: int = 1) -> Any:
    """A small local SparkSession (1 GiB) without a web page, for tests and slices of a log.

    Raises RuntimeError when there is no Java on the path.
    """
    if shutil.which("java") is None:
        raise RuntimeError("Spark needs Java 17 and none is on the path; install it, or count with DuckDB")
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{cores}]").appName("sessions")
    quiet = {
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": str(cores),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
    }
    for key, value in quiet.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _read(connection: Any, source: str | Path) -> ir.Table:
    address, path = str(source), Path(source)
    remote = connection.name == "pyspark" and "://" in address
    if not remote and not path.exists():
        raise FileNotFoundError(f"no log at {source}")
    kind = ".parquet" if path.is_dir() or (remote and not path.suffix) else path.suffix.lower()
    if kind not in READERS:
        raise ValueError(f"{path.name}: expected a .csv or .parquet file, got {path.suffix or 'no suffix'}")
    if path.is_dir() and connection.name == "duckdb":
        address = str(path / "*.parquet")
    return getattr(connection, READERS[kind])(address)
