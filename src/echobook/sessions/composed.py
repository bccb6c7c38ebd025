"""Unicode's composed form (NFC) of a column: by DuckDB's own function, or by Python in Spark."""

from typing import Any

import ibis
import ibis.expr.types as ir

from echobook.data.unicode import nfc


@ibis.udf.scalar.builtin(name="nfc_normalize")
def _in_duckdb(text: str) -> str:  # type: ignore[empty-body]
    """DuckDB's own function."""


def _composed(texts):
    return texts.map(nfc, na_action="ignore")


_in_python: Any = ibis.udf.scalar.pandas(_composed, signature=(("string",), "string"))


def composed(text: ir.Value, backend: str) -> ir.Value:
    """The column composed (NFC), so that the two spellings of 'é' are one text; missing stays missing.

    backend: its name, as Ibis gives it; all but DuckDB call Python for it.
    """
    return _in_duckdb(text) if backend == "duckdb" else _in_python(text)
