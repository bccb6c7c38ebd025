"""Follow Snakemake's own output and say, in one line each, what started to matter: done, failed, how long.

Snakemake's full text goes to a log file. A failed chapter's own log (cell, first line, exception) is shown at
once. A job that failed before it wrote one (no node has that much memory, a node is lost) has none: the
engine's own message is shown in its place.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

_STARTED = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):")
_FINISHED = re.compile(r"^Finished jobid: \d+ \(Rule: (\w+)\)")
_FAILED = re.compile(r"^Error in rule (\w+):")
_RESTARTED = re.compile(r"^Trying to restart job \d+")
_OWN_WORDS = 30  # lines of the engine's message, at most
_LEFT_OUT = re.compile(r"^\s+(?:input|output|log|jobid): |^\s+shell:$")


@dataclass
class Progress:
    """State of a build as its output tells it.

    Args:
        names: rule name -> the run in words; rules not named here are not counted.
        logs: rule name -> its log file; one that never changes is an older build's.
        say: takes each line for the person who waits.
        clock: seconds; replaced in tests.
    """

    names: dict[str, str]
    logs: dict[str, Path]
    say: Callable[[str], None] = print
    clock: Callable[[], float] = time.monotonic
    started: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    planned: int = 0
    _in_table: bool = False
    _older: dict[str, int] = field(default_factory=dict)  # rule name -> when its log was last written
    _message: list[str] | None = None  # the engine's words on a failure without a log, as far as read

    def __post_init__(self) -> None:
        self._older = {rule: _written(log) for rule, log in self.logs.items()}

    def follow(self, lines: Iterable[str]) -> None:
        """Read `lines` to their end and report each event."""
        for line in lines:
            self.read(line.rstrip("\n"))
        self.end()

    def read(self, line: str) -> None:
        """Take one line of Snakemake's output."""
        if self._message is not None:
            if line and not _FAILED.match(line) and len(self._message) < _OWN_WORDS:
                self._message.append(line)
                return
            self.end()
        if line == "Job stats:":
            self.planned, self._in_table = 0, True
        elif self._in_table and (match := re.match(r"^(\w+)\s+(\d+)$", line)):
            self._count(match[1], int(match[2]))
        elif match := _STARTED.match(line):
            self.started[match[1]] = self.clock()
            if match[1] == "book":
                self.say("building the pages ...")
        elif match := _FINISHED.match(line):
            self._finished(match[1])
        elif match := _FAILED.match(line):
            self._failed(match[1])
        elif _RESTARTED.match(line) and self.failed:
            self.say(f"{self.names.get(self.failed[-1], self.failed[-1])}: trying once more")
            self.failed.pop()

    def end(self) -> None:
        """Say what the engine said about a failure, when its message is complete."""
        if self._message is not None:
            words = [line for line in self._message if not _LEFT_OUT.match(line)]
            self.say("\n".join(f"    {line.strip()[:300]}" for line in words or ["no reason was given"]))
            self.say("    (the job failed before its own log began; this is the workflow engine's message)")
            self._message = None

    def _count(self, name: str, number: int) -> None:
        if name == "total":
            self._in_table = False
            if self.planned:
                self.say(f"{self.planned} of {len(self.names)} chapter runs to do, the others are up to date")
        elif name in self.names:
            self.planned += number

    def _seconds(self, rule: str) -> float:
        return self.clock() - self.started.get(rule, self.clock())

    def _finished(self, rule: str) -> None:
        if rule in self.names:
            self.done.append(rule)
            self.say(f"[{self._position()}] {self.names[rule]}: done in {self._seconds(rule):.0f} s")
        elif rule == "book":
            self.say(f"pages built and checked in {self._seconds(rule):.0f} s")

    def _failed(self, rule: str) -> None:
        if rule in self.failed or rule not in {*self.names, "book"}:
            return
        self.failed.append(rule)
        where = f"[{self._position()}] {self.names[rule]}" if rule in self.names else "book"
        self.say(f"{where}: FAILED after {self._seconds(rule):.0f} s")
        log = self.logs.get(rule)
        if log and _written(log) not in (0, self._older[rule]):
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-60:]
            self.say("\n".join(f"    {line}" for line in tail))
            self.say(f"    (all of it: {log})")
        else:
            self._message = []

    def _position(self) -> str:
        finished = len(self.done) + sum(rule in self.names for rule in self.failed)
        return f"{finished}/{self.planned or len(self.names)}"


def _written(log: Path) -> int:
    """Return when a log was last written, in nanoseconds; 0 for none and for an empty one."""
    if not log.is_file():
        return 0
    found = log.stat()
    return found.st_mtime_ns if found.st_size else 0
