"""Check of the finished pages: `python -m echobook.sphinx.check HTML_DIR [--root DIR]`.

Every internal link and anchor must exist; no script, style, image, font or frame may come from another site;
each published chapter has its page with the anchors of its findings and checks and a provenance stamp; each
kernel page shows its outputs; no page shows a failed run or a smoke run; each tracked page of prose passes
the lint on typed results. One line a fault, exit status 1 if there is any.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from echobook.report.claims import load_claims
from echobook.report.lint import lint_repository
from echobook.report.paths import repository_root
from echobook.sphinx.chapters import Chapter, contents_faults, kernel_pages, read_chapters

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "audio": "src", "video": "src"}
LINK_KINDS = {"stylesheet", "preload", "icon", "shortcut", "modulepreload", "prefetch", "manifest"}
STYLE_URL = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])((?:https?:)?//[^"')\s]+)""")


class Site:
    """The pages of a folder, parsed once each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._pages: dict[Path, BeautifulSoup] = {}
        self._anchors: dict[Path, set[str]] = {}

    def names(self) -> list[Path]:
        """Return all pages but the raw files under `_static` and `_sources`."""
        found = self.folder.rglob("*.html")
        return sorted(path for path in found if not {"_static", "_sources"} & set(path.parts))

    def page(self, path: Path) -> BeautifulSoup:
        """Return one parsed page."""
        if path not in self._pages:
            self._pages[path] = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        return self._pages[path]

    def anchors(self, path: Path) -> set[str]:
        """Return all places of a page to which a link may point."""
        if path not in self._anchors:
            marked = self.page(path).find_all(lambda tag: tag.has_attr("id") or tag.has_attr("name"))
            self._anchors[path] = {str(tag.get(key)) for tag in marked for key in ("id", "name")}
        return self._anchors[path]

    def label(self, path: Path) -> str:
        """Return a page's name for messages."""
        return path.relative_to(self.folder).as_posix()


def is_outside(address: str) -> bool:
    """Say whether an address leaves the site."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in ("http", "https", "ftp")


def outside_faults(site: Site, path: Path) -> Iterator[str]:
    """Name everything that a page would load from another site."""
    page = site.page(path)
    for tag in page.find_all([*LOADED, "link"]):
        if tag.name == "link":
            loads = LINK_KINDS & set(tag.get("rel") or [])
            address = str(tag.get("href") or "") if loads else ""
        else:
            address = str(tag.get(LOADED[tag.name]) or "")
        if is_outside(address):
            yield f"{site.label(path)}: <{tag.name}> is loaded from outside: {address}"
    styles = [tag.get_text() for tag in page.find_all("style")]
    styles += [str(tag.get("style")) for tag in page.find_all(style=True)]
    for address in STYLE_URL.findall("\n".join(styles)):
        yield f"{site.label(path)}: a style is loaded from outside: {address}"


def link_faults(site: Site, path: Path) -> Iterator[str]:
    """Name every internal link whose file or anchor does not exist."""
    for tag in site.page(path).find_all("a", href=True):
        address = str(tag["href"])
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or address in ("", "#"):
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            yield f"{site.label(path)}: link to a missing file: {address}"
        elif _lacks_anchor(site, target, unquote(parts.fragment)):
            yield f"{site.label(path)}: link to a missing anchor: {address}"


def _lacks_anchor(site: Site, target: Path, anchor: str) -> bool:
    """Say whether a page has no such place; `#name=value` is a choice of the scoreboard's filter."""
    if not anchor or "=" in anchor or target.suffix != ".html":
        return False
    return anchor not in site.anchors(target)


def chapter_faults(site: Site, root: Path, chapter: Chapter) -> Iterator[str]:
    """Name what the page of a published chapter lacks, or must not show."""
    path = site.folder / (chapter.docname + ".html")
    if not path.is_file():
        yield f"{chapter.docname}.html: missing; {chapter.slug} is published in book/chapters.yml"
        return
    for one in load_claims(root, chapter.slug).statements:
        if one.anchor not in site.anchors(path):
            yield f"{site.label(path)}: no anchor {one.anchor} of {one.kind} {one.id}; put it above its cell"
    stamp = site.page(path).select_one(".echobook-stamp")
    if stamp is None:
        yield f"{site.label(path)}: no provenance stamp; the chapter must end with chapter.finish()"
    elif re.search(r"profile\s+smoke\b", stamp.get_text(" ")):
        yield f"{site.label(path)}: made by a smoke run, which tests the code and never reaches readers"
    yield from failure_faults(site, path)


def failure_faults(site: Site, path: Path) -> Iterator[str]:
    """Name a page that shows a failed run."""
    if site.page(path).select_one(".cell_output .traceback, .output.traceback, .stderr.error"):
        yield f"{site.label(path)}: shows a failed run"


def kernel_faults(site: Site, name: str) -> Iterator[str]:
    """Name what is wrong with the page of a kernel: missing, not executed, or failed."""
    path = site.folder / (name + ".html")
    if not path.is_file():
        yield f"{name}.html: missing; its notebook is in notebooks/kernels"
        return
    if site.page(path).select_one(".cell_output") is None:
        yield f"{site.label(path)}: shows no output; the notebook was not executed"
    yield from failure_faults(site, path)


def all_faults(folder: Path, root: Path) -> list[str]:
    """Return one line for each fault of the pages in `folder`, built from the checkout `root`."""
    site = Site(folder)
    faults = contents_faults(root)
    for path in site.names():
        faults += [*link_faults(site, path), *outside_faults(site, path)]
    for chapter in read_chapters(root):
        page = site.folder / (chapter.docname + ".html")
        if chapter.published:
            faults += chapter_faults(site, root, chapter)
        elif page.is_file():
            faults.append(f"{site.label(page)}: {chapter.slug} is planned, but has a page")
    for name in kernel_pages(root):
        faults += kernel_faults(site, name)
    faults += [str(finding) for finding in lint_repository(root)]
    return faults


def main(arguments: list[str] | None = None) -> int:
    """Check from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m echobook.sphinx.check", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the built pages")
    parser.add_argument("--root", type=Path, help="repository root (found by itself)")
    options = parser.parse_args(arguments)
    if not (options.folder / "index.html").is_file():
        print(f"{options.folder}: no index.html; expected a folder of built pages", file=sys.stderr)
        return 1
    faults = all_faults(options.folder, options.root or repository_root())
    for fault in faults:
        print(fault, file=sys.stderr)
    pages = len(Site(options.folder).names())
    print(f"{pages} pages checked: {f'{len(faults)} faults' if faults else 'no fault'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
