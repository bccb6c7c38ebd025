"""Unicode's composed form (NFC) of a column, where a log's backend can do it: DuckDB has a function for it.

Spark has none: there texts are counted as they are spelled, so compose them when the log is written.
"""

import ibis
import ibis.expr.types as ir


@ibis.udf.scalar.builtin(name="nfc_normalize")
def _in_duckdb(text: str) -> str:  # type: ignore[empty-body]
    """DuckDB's own function."""


def composed(text: ir.Value, backend: str) -> ir.Value:
    """The column composed in DuckDB, so that the two spellings of 'é' are one text; missing stays missing.

    backend: its name, as Ibis gives it; the columns of any other come back as they are.
    """
    return _in_duckdb(text) if backend == "duckdb" else text
