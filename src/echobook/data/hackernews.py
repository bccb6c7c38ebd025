"""Posts of Hacker News with their authors and times: real users, real activity, real drift.

Two published samples are joined by post id (36,007 posts of a year from September 2015). Kept are posts
whose link is on one of the sites that were linked most; the site is the label, so the task is to tell from
a title where it appeared. Of posts of one author with equal titles (lower-cased) only the first is kept.
What is dropped is counted.
"""

import csv
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from echobook.data.registry import public_use
from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse

FILES = ("hacker_news_random20k.csv", "hacker_news_most_commented21k.csv")
HEADER = ("id", "title", "url", "num_points", "num_comments", "author", "created_at")
_SITE = re.compile(r"https?://(?:www\.)?([^/:?#]+)", re.IGNORECASE)
_TIME = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d{2})")


@dataclass(frozen=True)
class Posts:
    """Posts in order of time.

    Attributes:
        frame: user, text, label (site), time, sample (the first file that has the post); index 0..N-1.
        use: what was used, for the results file.
        dropped: posts left out, by reason.
    """

    frame: pd.DataFrame
    use: DatasetUse
    dropped: dict[str, int]


def load_posts(folder: Path, *, sites: int = 20) -> Posts:
    """Read both samples from a verified folder and keep the posts of the ``sites`` most linked sites.

    Raises:
        MalformedRow: a row without the documented form; file and line are named.
        ValueError: fewer sites in the posts than asked.
    """
    by_id: dict[str, dict[str, object]] = {}
    for name in FILES:
        for post in read_posts(folder / name):
            by_id.setdefault(str(post["id"]), post | {"sample": name})
    dropped = Counter({"without a link": sum(post["label"] is None for post in by_id.values())})
    linked = Counter(str(post["label"]) for post in by_id.values() if post["label"] is not None)
    if len(linked) < sites:
        raise ValueError(f"sites: {sites} asked, but the posts link to {len(linked)}")
    kept_sites = {site for site, _ in sorted(linked.items(), key=lambda pair: (-pair[1], pair[0]))[:sites]}
    chosen = [post for post in by_id.values() if post["label"] in kept_sites]
    dropped["another site"] = len(by_id) - dropped["without a link"] - len(chosen)
    frame = pd.DataFrame(chosen).sort_values(["time", "id"], kind="stable")
    again = pd.DataFrame({"user": frame["user"], "text": frame["text"].str.lower()}).duplicated()
    dropped["same title by the same author"] = int(again.sum())
    frame = frame[~again].drop(columns="id").reset_index(drop=True)
    return Posts(frame, _use(len(frame)), dict(dropped))


def _use(posts: int) -> DatasetUse:
    """One data set of two repositories: both commits are its version."""
    parts = [public_use("hackernews", {"posts": posts}, [name]) for name in FILES]
    whole = public_use("hackernews", {"posts": posts}, FILES)
    version = " and ".join(part.version for part in parts)
    return replace(whole, version=version, source=" and ".join(part.source for part in parts))


def read_posts(path: Path) -> list[dict[str, object]]:
    """Rows of one sample: id, user, text, label (site, or None without a link), time.

    One of the samples has further columns, empty but for the remains of a spreadsheet's table in three
    rows; they are ignored.
    """
    reader = csv.reader((line + "\n" for _, line in read_lines(path)), strict=True)
    rows = []
    for fields in reader:
        if reader.line_num == 1 and tuple(fields[: len(HEADER)]) != HEADER:
            raise MalformedRow(path, 1, f"the columns {', '.join(HEADER)}", fields)
        if reader.line_num > 1:
            rows.append(_post(path, reader.line_num, fields))
    if not rows:
        raise MalformedRow(path, 1, "a header and posts", "no post")
    return rows


def _post(path: Path, line: int, fields: list[str]) -> dict[str, object]:
    if len(fields) < len(HEADER):
        raise MalformedRow(path, line, f"at least {len(HEADER)} fields", fields)
    post = dict(zip(HEADER, (field.strip() for field in fields), strict=False))
    time = _TIME.fullmatch(post["created_at"])
    if not (post["id"].isdecimal() and post["title"] and post["author"] and time):
        raise MalformedRow(
            path, line, "an id, a title, an author and a time month/day/year hour:minute", fields
        )
    month, day, year, hour, minute = (int(part) for part in time.groups())
    site = _SITE.match(post["url"])
    return {
        "id": int(post["id"]),
        "user": post["author"],
        "text": " ".join(post["title"].split()),
        "label": site[1].lower() if site else None,
        "time": pd.Timestamp(year, month, day, hour, minute),
    }
