"""A release: one archive of a clean, checked tree, and the differences between two of them.

The archive holds the pages (they open from disk, search and mathematics included), the recorded results, the
claims, the registries, the licences, the citation, and `MANIFEST.sha256`, which lists every file with its
digest. All times in it are those of the commit and entries are sorted, so that packing the same pages twice
gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.project import Project

VERSION = re.compile(r"\d+\.\d+(\.\d+)?((a|b|rc)\d+)?")
BESIDE = ("LICENSE", "LICENSE-prose", "CITATION.cff", "README.md", "constraints.txt", "data/registry.csv")
FOLDERS = ("data/claims", "data/recorded", "data/cards", "workflow/parameters")
CHAPTERS = "book/chapters.yml"
MANIFEST = "MANIFEST.sha256"


def pack(project: Project, version: str, profile: str = "default", target: Path | None = None) -> Path:
    """Write `echobook-VERSION.zip` into `target` (default `_build/release`) and return its path.

    Raises:
        PipelineError: an ill-formed version; a tree that is no git checkout or has changes; no finished pages
            of the profile.
    """
    if not VERSION.fullmatch(version):
        raise PipelineError(f"version {version!r}: expected digits such as 1.0 or 1.2.0rc1")
    stamp = clean_commit_time(project.root)
    pages = finished_pages(project, profile)
    folder = target or project.build / "release"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"echobook-{version}.zip"
    handle, name = tempfile.mkstemp(prefix=f".{archive.name}-", dir=folder)
    os.close(handle)
    try:
        _write(Path(name), f"echobook-{version}", dict(members(project.root, pages)), stamp)
        os.replace(name, archive)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return archive


def _git(root: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def clean_commit_time(root: Path) -> int:
    """Return the commit's time in seconds since 1970; refuse a tree that is no checkout or has changes."""
    said = _git(root, "log", "-1", "--format=%ct")
    if said is None:
        raise PipelineError(f"{root} is no git checkout with a commit", "a release is made from a commit")
    changed = _git(root, "status", "--porcelain") or ""
    if changed:
        listed = ", ".join(line.split(maxsplit=1)[1] for line in changed.splitlines()[:5])
        raise PipelineError(f"the tree has changes: {listed}", "commit or remove them, then build again")
    return int(said)


def finished_pages(project: Project, profile: str) -> Path:
    """Return the folder of the pages, which have passed their checks; refuse when there are none."""
    home = project.profile(profile)
    if not (home / "book.stamp").is_file() or not (home / "html" / "index.html").is_file():
        raise PipelineError(f"no finished pages of profile {profile}", f"make book PROFILE={profile}")
    return home / "html"


def members(root: Path, pages: Path) -> Iterator[tuple[str, Path]]:
    """Yield name in the archive and file, for all that a release holds but the manifest."""
    for path in sorted(pages.rglob("*")):
        if path.is_file():
            yield f"html/{path.relative_to(pages).as_posix()}", path
    for name in (*BESIDE, CHAPTERS):
        if (root / name).is_file():
            yield name, root / name
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file():
                yield path.relative_to(root).as_posix(), path


def _write(archive: Path, top: str, files: dict[str, Path], stamp: int) -> None:
    moment = time.gmtime(max(stamp, 315532800))[:6]  # zip knows no year before 1980
    lines = []
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name in sorted(files):
            content = files[name].read_bytes()
            lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
            packed.writestr(_entry(f"{top}/{name}", moment), content)
        packed.writestr(_entry(f"{top}/{MANIFEST}", moment), "".join(lines))


def _entry(name: str, moment: tuple[int, ...]) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, moment)  # type: ignore[arg-type]
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a release into `folder`, hold every file to the manifest, and return the folder with its files.

    Raises:
        PipelineError: no archive of a release; a file that is missing, added, or differs from the manifest.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise PipelineError(f"{archive}: cannot be read as a release: {error}") from error
    tops = [path for path in folder.iterdir() if (path / MANIFEST).is_file()]
    if len(tops) != 1:
        raise PipelineError(f"{archive}: expected one folder with {MANIFEST}, found {len(tops)}")
    _check_manifest(tops[0], archive)
    return tops[0]


def _check_manifest(top: Path, archive: Path) -> None:
    lines = (top / MANIFEST).read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    found = {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()} - {MANIFEST}
    if odd := sorted(found ^ listed.keys()):
        raise PipelineError(f"{archive}: files and manifest differ: {', '.join(odd[:5])}")
    for name, digest in listed.items():
        if hashlib.sha256((top / name).read_bytes()).hexdigest() != digest:
            raise PipelineError(f"{archive}: {name} differs from the manifest")
