"""A kernel's source on the page, taken from the installed module, so that it cannot drift from the code."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from echobook.report.errors import ReportError


class SourceBlock:
    """Source that notebooks show as a highlighted Markdown block under a line naming where it is from."""

    def __init__(self, caption: str, code: str) -> None:
        self.caption = caption
        self.code = code

    def _repr_markdown_(self) -> str:
        fence = "```"
        while fence in self.code:
            fence += "`"
        return f"`{self.caption}`\n\n{fence}python\n{self.code}\n{fence}\n"

    def __repr__(self) -> str:
        return f"# {self.caption}\n{self.code}"


def show_source(thing: Callable[..., Any] | type) -> SourceBlock:
    """Return the source of a function, method or class of `echobook`, captioned `module.name`.

    A method comes without the indentation of its class.

    Raises ReportError for anything whose source is not in the package (a notebook's own function is in
    sight).
    """
    thing = inspect.unwrap(thing)
    module = getattr(thing, "__module__", "")
    if not module.startswith("echobook."):
        raise ReportError(
            f"show_source: expected a function or class of echobook, found {thing!r} of {module!r}"
        )
    return SourceBlock(f"{module}.{thing.__qualname__}", textwrap.dedent(inspect.getsource(thing)).rstrip())
