"""Lists of first names and surnames of the United States (repository under the Unlicense).

Names are lower-cased; what is not made of the letters a to z alone is dropped and counted, repeats too.
"""

from dataclasses import dataclass
from pathlib import Path

from echobook.data.registry import public_use
from echobook.data.text_files import read_lines
from echobook.data.types import DatasetUse

FILES = {"first": "first_names_us.txt", "surnames": "surnames_us.txt"}


@dataclass(frozen=True)
class NameLists:
    """First names and surnames in file order, how many lines of each were dropped, and the data set."""

    first: tuple[str, ...]
    surnames: tuple[str, ...]
    dropped: dict[str, int]
    use: DatasetUse


def load_names(folder: Path) -> NameLists:
    """Read both lists from a verified folder. Raises ValueError naming a list without a usable name."""
    lists, dropped = {}, {}
    for kind, file in FILES.items():
        lists[kind], dropped[kind] = read_names(folder / file)
        if not lists[kind]:
            raise ValueError(f"{file}: no name made of the letters a to z")
    counts = {kind: len(names) for kind, names in lists.items()}
    use = public_use("name_databases", counts, list(FILES.values()))
    return NameLists(lists["first"], lists["surnames"], dropped, use)


def read_names(path: Path) -> tuple[tuple[str, ...], int]:
    """Usable names, lower case, each once, and the number of lines that were dropped."""
    lines = [line.strip().lower() for _, line in read_lines(path)]
    kept = dict.fromkeys(name for name in lines if name.isascii() and name.isalpha())
    return tuple(kept), len(lines) - len(kept)
