"""The form of every notebook: parameters, tags, no outputs or absolute paths, equal default values."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import pytest

from echobook.pipeline.chapters import published_chapters
from echobook.pipeline.form import form_faults
from echobook.pipeline.pages import read_pages
from echobook.pipeline.parameters import percent_cells, read_parameters, read_profile, resolve
from echobook.pipeline.project import PROFILES, Project

PROJECT = Project.at(Path(__file__).resolve().parents[2])
ENTRIES = published_chapters(PROJECT)
NOTEBOOKS = [*ENTRIES, *read_pages(PROJECT)]


def by_slug(entry):
    return entry.slug


@pytest.mark.parametrize("entry", ENTRIES, ids=by_slug)
def test_profiles_fit_the_parameters_cell(entry):
    known = read_parameters(PROJECT.root / entry.notebook)
    assert list(known)[:2] == ["profile", "seed"]
    for profile in PROFILES[:3]:
        settings = read_profile(PROJECT, entry.slug, profile)
        values = resolve(known, entry.slug, profile, settings.seeds[0], (profile, settings.parameters))
        if profile == "default":
            assert {name: known[name].default for name in values} == values


@pytest.mark.parametrize("entry", NOTEBOOKS, ids=by_slug)
def test_percent_form_survives_a_round_trip(entry):
    text = (PROJECT.root / entry.notebook).read_text(encoding="utf-8")
    found = jupytext.reads(text, fmt="py:percent")
    assert found.metadata["kernelspec"]["language"] == "python"
    again = jupytext.reads(jupytext.writes(found, fmt="py:percent"), fmt="py:percent")
    assert [cell.source for cell in found.cells] == [cell.source for cell in again.cells]


@pytest.mark.parametrize("entry", NOTEBOOKS, ids=by_slug)
def test_order_folding_and_widths(entry):
    """See `echobook.pipeline.form` for the rules; each fault names its line."""
    notebook = PROJECT.root / entry.notebook
    assert form_faults(notebook, PROJECT.root / "src", chapter=entry in ENTRIES) == []


@pytest.mark.parametrize("entry", NOTEBOOKS, ids=by_slug)
def test_cells_are_self_contained(entry):
    for header, first, body in percent_cells((PROJECT.root / entry.notebook).read_text(encoding="utf-8")):
        if "[markdown]" not in header:
            place = f"{entry.notebook}:{first}"
            assert not re.search(r"^\s*[!%]|pip install|urlopen|requests\.get", body, re.MULTILINE), place
            assert not re.search(r"[\"'](/home|/tmp|/work|/root|/Users)/", body), place
