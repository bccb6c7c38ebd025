"""Tables that screen readers can follow: caption, header cells with text, no empty corner, a fixed id."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from echobook.report.errors import ReportError


def table(
    frame: pd.DataFrame,
    *,
    name: str,
    caption: str,
    digits: int | Mapping[str, int] = 3,
    markup: Sequence[str] = (),
) -> Styler:
    """Return `frame` as a styled table with a caption; a named index becomes columns, another one is dropped.

    `name`: lower-kebab, unique on the page; it becomes the table's id. `digits`: decimals of floats, for all
    columns or by column. Raises ReportError for an ill-formed name or a missing caption.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ReportError(f"table name {name!r}: expected lower-case words joined by hyphens")
    if not caption.strip():
        raise ReportError(f"table {name!r}: expected a caption")
    named = any(level is not None for level in frame.index.names)
    flat = frame.reset_index() if named else frame.reset_index(drop=True)
    if isinstance(flat.columns, pd.MultiIndex):
        flat.columns = pd.Index(
            [" ".join(str(part) for part in column if part != "") for column in flat.columns]
        )
    flat.columns.name = None
    styler = flat.style.set_uuid(name).hide(axis="index").set_caption(caption)
    styler = styler.set_table_attributes('class="dataframe"')
    places = digits if isinstance(digits, Mapping) else dict.fromkeys(flat.columns, digits)
    for column in flat.columns:
        escape = None if column in markup else "html"
        styler = styler.format(subset=[column], precision=places.get(column, 3), na_rep="–", escape=escape)
    return styler
