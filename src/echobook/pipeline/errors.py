"""The one error type that the pipeline shows to people: what is wrong, and what to try."""

from __future__ import annotations


class PipelineError(Exception):
    """A refusal in words.

    Args:
        message: who is the culprit, what was expected, what was found.
        hint: what to try next; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  try: {self.hint}" if self.hint else self.message
