"""Build or update rows of ``data/registry.csv``: ``python -m echobook.data.build_registry DATASET...``.

Reads ``SOURCES.csv`` (dataset, file, repo, commit, path_in_repo, sha256, bytes, licence) in the folder named
by ``ECHOBOOK_MIRROR``, checks each file's size and SHA-256 there, and replaces the data set's rows.
What a licence permits is decided here by hand, in :data:`PERMISSIONS_OF`; an undecided one is "unclear".
"""

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from echobook.data.cache import file_sha256
from echobook.data.registry import (
    RegistryError,
    RegistryRow,
    raw_address,
    read_registry,
    registry_path,
    write_registry,
)

SOURCE_COLUMNS = ("dataset", "file", "repo", "commit", "path_in_repo", "sha256", "bytes", "licence")
# (redistribution, commercial use), from the licence texts; "unclear" where no licence of the data was read.
PERMISSIONS_OF = {
    "allrecipes_tastyr": ("yes", "yes"),  # CC0
    "an4-mfcc": ("yes", "yes"),  # BSD-style, CMU
    "arabic_speech_commands": ("yes", "yes"),  # CC BY 4.0
    "atis": ("unclear", "unclear"),  # LDC material behind a repository of Apache-2.0
    "clinc150": ("yes", "yes"),  # CC BY 3.0
    "cmudict": ("yes", "yes"),  # BSD-style, CMU
    "fb_multilingual_en": ("unclear", "unclear"),  # upstream licence is not in the repository
    "fbai_deep_bias": ("yes", "yes"),  # MIT; the transcripts are LibriSpeech's, CC BY 4.0
    "fsdd": ("yes", "yes"),  # CC BY-SA 4.0
    "lastfm_kgcn": ("unclear", "no"),  # MIT repository; listening data for non-commercial research upstream
    "mealrec_plus_H": ("unclear", "unclear"),  # no licence stated; citation requested
    "molweni-dp": ("yes", "yes"),  # Apache-2.0
    "name_databases": ("unclear", "unclear"),  # Unlicense; lists collected from web sites, terms not stated
    "hackernews": ("unclear", "unclear"),  # no licence of the posts in either repository
    "jester5k": ("unclear", "no"),  # ratings free for research with citation; package GPL-2
    "jokeapi": ("yes", "yes"),  # MIT
    "official_joke_api": ("yes", "yes"),  # MIT
    "nlu_eval_hwu64": ("yes", "yes"),  # CC BY 4.0
    "reddit_top2013": ("yes", "yes"),  # PDDL 1.0, stated by the repository
    "slurp": ("yes", "yes"),  # CC BY 4.0 (text)
    "snips": ("unclear", "unclear"),  # upstream asks for citation, no licence file
    "speechocean762": ("yes", "yes"),  # README: free for commercial and non-commercial use
    "squad_nqg": ("unclear", "unclear"),  # licence of the text not in the repository
    "stackoverflow20": ("unclear", "unclear"),  # MIT repository; titles by their writers, CC BY-SA upstream
    "trecqa": ("no", "no"),  # newswire; no licence of the data
    "ubuntu-irc": ("yes", "yes"),  # CC BY 4.0
    "wikiqa": ("no", "no"),  # Microsoft Research Data License: research and technology development only
}


def mirror_rows(dataset: str, mirror: Path) -> list[RegistryRow]:
    """Registry rows of one data set, each file checked against the mirror.

    Raises:
        RegistryError: SOURCES.csv without a column or with a malformed row, data set not in it, or a file
            whose size or digest differs.
    """
    sources = [source for source in _sources(mirror / "SOURCES.csv") if source["dataset"] == dataset]
    if not sources:
        raise RegistryError(f"{mirror / 'SOURCES.csv'} has no rows of data set {dataset!r}")
    redistribution, commercial = PERMISSIONS_OF.get(dataset, ("unclear", "unclear"))
    rows = [
        RegistryRow(
            dataset=dataset,
            file=source["file"],
            url=raw_address(source["repo"], source["commit"], source["path_in_repo"]),
            repo=source["repo"],
            commit=source["commit"],
            path_in_repo=source["path_in_repo"],
            sha256=source["sha256"],
            bytes=int(source["bytes"]),
            licence=source["licence"],
            redistribution=redistribution,
            commercial=commercial,
        )
        for source in sources
    ]
    for row in rows:
        _check_against_mirror(row, mirror / dataset / row.file)
    return rows


def _sources(path: Path) -> list[dict[str, str]]:
    """Rows of SOURCES.csv; each has every column and a whole number of bytes."""
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        if absent := [column for column in SOURCE_COLUMNS if column not in (reader.fieldnames or ())]:
            raise RegistryError(f"{path}:1: expected the columns {', '.join(SOURCE_COLUMNS)}; no {absent[0]}")
        rows = []
        for row in reader:
            if short := [column for column in SOURCE_COLUMNS if row[column] is None]:
                raise RegistryError(f"{path}:{reader.line_num}: the row ends before {short[0]}")
            if not row["bytes"].isdecimal():
                raise RegistryError(
                    f"{path}:{reader.line_num}: bytes: expected a whole number, got {row['bytes']!r}"
                )
            rows.append(row)
    return rows


def _check_against_mirror(row: RegistryRow, path: Path) -> None:
    if problems := row.problems():
        raise RegistryError(f"{row.dataset}/{row.file}: {'; '.join(problems)}")
    if not path.is_file():
        raise RegistryError(f"{path} is listed in SOURCES.csv but is not there")
    if (size := path.stat().st_size) != row.bytes:
        raise RegistryError(f"{path}: SOURCES.csv says {row.bytes} bytes, the file has {size}")
    if (digest := file_sha256(path)) != row.sha256:
        raise RegistryError(f"{path}: SOURCES.csv says sha256 {row.sha256}, the file has {digest}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m echobook.data.build_registry")
    parser.add_argument("datasets", nargs="+", metavar="DATASET")
    parser.add_argument("--registry", type=Path, default=registry_path())
    options = parser.parse_args(arguments)
    mirror = os.environ.get("ECHOBOOK_MIRROR")
    try:
        if not mirror:
            raise RegistryError("set ECHOBOOK_MIRROR to a folder that holds SOURCES.csv and the data sets")
        kept = list(read_registry(options.registry)) if options.registry.exists() else []
        kept = [row for row in kept if row.dataset not in options.datasets]
        built = [row for dataset in options.datasets for row in mirror_rows(dataset, Path(mirror))]
        write_registry(kept + built, options.registry)
    except (RegistryError, OSError) as error:
        sys.stderr.write(f"build_registry: {error}\n")
        return 1
    sys.stderr.write(f"{options.registry}: {len(built)} rows written, {len(kept)} kept\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
