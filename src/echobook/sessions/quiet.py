"""One reasoned exception to "warnings are errors": Ibis calls DuckDB's Arrow reader by its former name."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def former_names() -> Iterator[None]:
    """Silence DuckDB's deprecation of `fetch_arrow_table`, and nothing else, inside the block."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fetch_arrow_table", category=DeprecationWarning)
        yield
