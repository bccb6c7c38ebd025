"""Sphinx extension: a chapter's page is its tracked notebook, shown with the outputs of its executed copy.

The contents name `notebooks/<part>/<chapter>` (a Jupytext percent file). When Sphinx reads it, the text is
replaced by `_build/<profile>/executed/notebooks/<part>/<chapter>.ipynb`, so edit links stay true and nothing
generated lies in a tracked folder. A chapter that was not run, that failed, or that was run with another
profile is a warning, hence an error under `-W`.
"""

import json
import os
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from sphinx.application import Sphinx
from sphinx.util import logging

LOG = logging.getLogger(__name__)
PROFILES = ("default", "public", "paper")


def reads(text: str, fmt: str = "py:percent") -> nbformat.NotebookNode:
    """Parse a page's source: the JSON of an executed copy, or the percent text when there is none."""
    if text.lstrip().startswith("{"):
        return nbformat.reads(text, as_version=4)
    return jupytext.reads(text, fmt)


def is_chapter(app: Sphinx, docname: str) -> bool:
    """Say whether a page's source is a notebook in percent form."""
    return docname in app.env.found_docs and app.env.doc2path(docname).endswith(".py")


def executed_path(app: Sphinx, docname: str) -> Path:
    """Return where the pipeline leaves the executed copy of a page."""
    folder = app.config.echobook_executed or f"_build/{app.config.echobook_profile}/executed"
    return Path(app.srcdir, folder, docname + ".ipynb")


def profile_of(text: str) -> str | None:
    """Return the profile an executed notebook was run with, or None when it does not say."""
    try:
        metadata = json.loads(text)["metadata"]
        return metadata.get("papermill", {}).get("parameters", {}).get("profile") or _typed_profile(text)
    except (ValueError, KeyError, AttributeError):
        return None


def _typed_profile(text: str) -> str | None:
    """Find the last `profile = "..."` of the parameter cells; injected ones follow the defaults."""
    found = None
    for cell in json.loads(text)["cells"]:
        if not {"parameters", "injected-parameters"} & set(cell["metadata"].get("tags", [])):
            continue
        for line in "".join(cell["source"]).splitlines():
            name, _, value = line.partition("=")
            if name.split(":")[0].strip() == "profile":
                found = value.split("#")[0].strip().strip("\"'")
    return found


def check_profile(app: Sphinx) -> None:
    """Refuse to build a book from a profile that must not reach readers."""
    profile = app.config.echobook_profile
    if profile not in PROFILES:
        raise ValueError(f"ECHOBOOK_PROFILE {profile!r}: a book is built from one of {', '.join(PROFILES)}")


def swap(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace a chapter's text by its executed copy (event `source-read`)."""
    if not is_chapter(app, docname):
        return
    path = executed_path(app, docname)
    failed = path.with_suffix(".failed.ipynb")
    app.env.note_dependency(str(path))
    if path.is_file():
        source[0] = path.read_text(encoding="utf-8")
        found, wanted = profile_of(source[0]), app.config.echobook_profile
        if found is not None and found != wanted:
            LOG.warning(f"executed with profile {found}, expected {wanted}: {path}", location=docname)
    elif failed.is_file():
        source[0] = failed.read_text(encoding="utf-8")
        LOG.warning(f"notebook failed; the page shows the run up to its error: {failed}", location=docname)
    else:
        LOG.warning(f"notebook not executed; run its chapter first (expected {path})", location=docname)


def remember_failures(app: Sphinx, docname: str, source: list[str]) -> None:
    """Mark pages whose shown run failed, for the check of the finished book (event `source-read`)."""
    if is_chapter(app, docname) and '"output_type": "error"' in source[0]:
        app.env.metadata[docname]["echobook_failed"] = "yes"


def drop_thebe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Leave out the live-kernel scripts, which would call another site (event `html-page-context`)."""
    context["script_files"] = [js for js in context["script_files"] if not _is_thebe(js)]
    context["css_files"] = [css for css in context["css_files"] if "thebe" not in str(css)]


def _is_thebe(script: Any) -> bool:
    body = getattr(script, "attributes", {}).get("body") or ""
    name = getattr(script, "filename", script)
    return "thebe" in str(name or "").lower() or "thebe" in body.lower()


def fix_colab(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Point Colab, which opens no percent file, at the executed copy (event `html-page-context`)."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            url = button.get("url") or ""
            if "/blob/" in url and url.endswith(".py") and "colab" in url:
                head, _, _ = url.partition("/blob/")
                button["url"] = f"{head}/blob/gh-pages/_sources/{pagename}.ipynb"


def use_repository(app: Sphinx, config: Any) -> None:
    """Show edit, issue and launch buttons when `ECHOBOOK_REPOSITORY` names the public repository."""
    address = os.environ.get("ECHOBOOK_REPOSITORY", "")
    if not address:
        return
    config.html_theme_options |= {
        "repository_url": address,
        "repository_branch": "main",
        "use_repository_button": True,
        "use_edit_page_button": True,
        "use_issues_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.add_config_value("echobook_profile", os.environ.get("ECHOBOOK_PROFILE", "default"), "env")
    app.add_config_value("echobook_executed", "", "env")
    app.connect("config-inited", use_repository, priority=400)
    app.connect("builder-inited", check_profile)
    app.connect("source-read", swap)
    app.connect("source-read", remember_failures, priority=600)
    app.connect("html-page-context", fix_colab, priority=800)
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
