"""The registry of chapters, `book/chapters.yml`: read, checked, and put in order of the parts."""

from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

import yaml

PARTS = {
    "understanding": "Understanding users",
    "dialogue": "Holding a dialogue",
    "reading": "Reading and answering",
    "speech": "Recognising speech",
    "fairness": "Serving everybody",
    "privacy": "Keeping data private",
}
STATUSES = ("published", "planned")
REGISTRY = Path("book", "chapters.yml")
KERNELS = "notebooks/kernels/"


class RegistryError(ValueError):
    """A registry of chapters that contradicts itself; the message names file, entry and field."""


@dataclass(frozen=True)
class Chapter:
    """One entry of the registry: a system, the paper it comes from, and the page it has or will have."""

    slug: str
    part: str
    title: str
    system: str
    venue: str
    paper: str
    notebook: str
    status: str

    @property
    def docname(self) -> str:
        """Return the page's name: the notebook's path without its suffix."""
        return str(PurePosixPath(self.notebook).with_suffix(""))

    @property
    def published(self) -> bool:
        """Say whether the chapter has a page."""
        return self.status == "published"


def _entry(raw: object, where: str) -> Chapter:
    names = [field.name for field in fields(Chapter)]
    if not isinstance(raw, dict) or set(raw) != set(names):
        found = sorted(raw) if isinstance(raw, dict) else raw
        raise RegistryError(f"{where}: expected the fields {', '.join(names)}; found {found}")
    chapter = Chapter(**{name: str(raw[name]) for name in names})
    expected = f"notebooks/{chapter.part}/{chapter.slug.replace('-', '_')}.py"
    checks = (
        ("part", chapter.part, chapter.part in PARTS, " or ".join(PARTS)),
        ("status", chapter.status, chapter.status in STATUSES, " or ".join(STATUSES)),
        ("notebook", chapter.notebook, chapter.notebook == expected, expected),
    )
    for field, found, right, wanted in checks:
        if not right:
            raise RegistryError(f"{where} ({chapter.slug}): {field}: expected {wanted}, found {found!r}")
    return chapter


def read_chapters(root: Path) -> list[Chapter]:
    """Return all chapters under the repository root `root`, in the registry's order.

    Raises RegistryError for an unknown or missing field, part or status, a notebook that is not where its
    slug says, and a slug or paper that appears twice.
    """
    path = root / REGISTRY
    if not path.is_file():
        raise RegistryError(f"{path}: not found; expected the registry of chapters")
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(raw, list):
        raise RegistryError(f"{path}: expected a list of chapters, found {type(raw).__name__}")
    chapters = [_entry(entry, f"{path}: entry {number}") for number, entry in enumerate(raw, start=1)]
    slugs = [chapter.slug for chapter in chapters]
    for slug in slugs:
        if slugs.count(slug) > 1:
            raise RegistryError(f"{path}: {slug} appears {slugs.count(slug)} times, expected once")
    return chapters


def kernel_pages(root: Path) -> list[str]:
    """Return the pages about kernels, which are in no registry: the notebooks in `notebooks/kernels/`."""
    return [KERNELS + path.stem for path in sorted((root / KERNELS).glob("*.py"))]


def toc_documents(toc: Path) -> list[str]:
    """Return every page named in a Jupyter Book contents file, in order."""
    found: list[str] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            found.extend(str(node[key]) for key in ("root", "file") if key in node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(yaml.safe_load(toc.read_text(encoding="utf-8")))
    return found


def contents_faults(root: Path) -> list[str]:
    """Return one line for each disagreement between `_toc.yml` and the registry; none when they agree."""
    listed = toc_documents(root / "_toc.yml")
    faults = []
    for chapter in read_chapters(root):
        times = listed.count(chapter.docname)
        if chapter.published and times != 1:
            faults.append(
                f"_toc.yml: published chapter {chapter.slug} ({chapter.docname}) listed {times} times"
            )
        if not chapter.published and times:
            faults.append(f"_toc.yml: {chapter.slug} is planned, but listed; publish it in {REGISTRY}")
    known = {chapter.docname for chapter in read_chapters(root)} | set(kernel_pages(root))
    for name in kernel_pages(root):
        if listed.count(name) != 1:
            faults.append(f"_toc.yml: kernel page {name} listed {listed.count(name)} times, expected once")
    faults += [f"_toc.yml: {name} is not in {REGISTRY}" for name in listed if _is_stray(name, known)]
    return faults


def _is_stray(name: str, known: set[str]) -> bool:
    return name.startswith("notebooks/") and name not in known
