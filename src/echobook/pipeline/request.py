"""What a call of Snakemake asks for by ``--config``: a profile and chapters. Anything else is refused.

``snakemake --workflow-profile workflow/profiles/local --config profile=public slugs="advin tanda"``

Snakemake takes every key without a word, so that a misspelt one would run the default profile.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.project import PROFILES

_PREFIX = "echobook_"  # ``echobook_profile`` means the same as ``profile``
KEYS = ("profile", "slugs")


def asked_for(config: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the profile (``default`` when not given) and the chapters (empty: all of them).

    Raises:
        PipelineError: an unknown key, two values for one key, or an unknown profile.
    """
    found: dict[str, str] = {}
    for key, value in config.items():
        name = str(key).removeprefix(_PREFIX)
        if name not in KEYS:
            near = difflib.get_close_matches(name, KEYS, n=1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise PipelineError(f"--config: unknown key {key!r}", f"{guess}known: {', '.join(KEYS)}")
        if found.setdefault(name, str(value)) != str(value):
            raise PipelineError(f"--config: {name} is {found[name]!r} and {str(value)!r}", "name it once")
    profile = found.get("profile", "default")
    if profile not in PROFILES:
        raise PipelineError(f"--config: no profile is called {profile!r}", f"one of: {', '.join(PROFILES)}")
    return profile, found.get("slugs", "").split()
