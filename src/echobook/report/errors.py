"""Errors of the report part: every message names the file or claim, what was found, and what was expected."""


class ReportError(ValueError):
    """A results file, claims file or record that the report refuses."""


class ResultsError(ReportError):
    """A results file that is malformed, foreign or inconsistent with its place."""


class ClaimsError(ReportError):
    """A claims file that is malformed, or a criterion that the records cannot answer."""
