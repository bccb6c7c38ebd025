"""The lint on typed results: no decimal number and no percentage in prose; figures come from records or
sources.

Checked: Markdown cells of notebooks and book pages. Left out: front matter, comments, code, maths, roles
(such as `{result}` or `{fact}`), links and addresses, options of directives. Allowed: versions and licences
(Python 3.11, CC BY 4.0), numbers of sections, tables and equations, and the level of an interval (95 %
interval).

`python -m echobook.report.lint [ROOT]` prints one line for each finding and exits with 1 if there is any.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from echobook.report.paths import repository_root

_RESULT = re.compile(
    r"(?:(?<![\w.\-])[-−+±]?|(?<=[\d%]-))\d+(?:[.,]\d+)*"  # 12 %, 10-12 %, **12** %, 3.5 percent
    r"(?:[*_]{0,3}\s?\\?%|[\s-]?per ?cent\b|[\s-]?percentage[\s-]points?\b)"
    r"|(?<![\w.])[-−+±]?(?:\d+)?\.\d+(?:[eE][-−+]?\d+)?[^\W\d_]*(?!\w|\.\d)"  # 0.61, .61, 2.5x, 0.1e-3
)
_IN_PARAGRAPH = r"(?:(?!\n\s*\n).)+?"  # a code span or a role ends with its paragraph
_LITERAL_FENCE = re.compile(r"^\{?(?:math|code|code-block|code-cell|literalinclude|bibliography|mermaid)\b")
_SKIPPED = (
    re.compile(r"\A---\n.*?\n---\n", re.DOTALL),  # front matter
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"^%.*$", re.MULTILINE),  # MyST comment
    re.compile(rf"\{{[\w:+.-]+\}}(`+)(?!`){_IN_PARAGRAPH}(?<!`)\1(?!`)", re.DOTALL),  # role
    re.compile(rf"(?<!`)(`+)(?!`){_IN_PARAGRAPH}(?<!`)\1(?!`)", re.DOTALL),  # code
    re.compile(r"\$\$.*?\$\$", re.DOTALL),
    re.compile(r"(?<![\\$])\$(?!\s)(?:\\.|[^$\n\\]|\n(?!\s*\n))+?\$"),
    re.compile(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.DOTALL),
    re.compile(r"!?\[[^\]]*\]\([^)]*\)|!?\[[^\]]*\]\[[^\]]*\]"),  # links and images
    re.compile(r"^\[[^\]]+\]:\s.*$", re.MULTILINE),  # link definitions
    re.compile(r"<https?://[^>]*>|https?://\S+|\b10\.\d{4,}/\S+"),
    re.compile(r"<[a-zA-Z/][^<>]*>"),  # HTML tags
    re.compile(r"^\s*:[\w-]+:.*$", re.MULTILINE),  # options of a directive
    re.compile(
        r"\b(?:Python|CC[ -]BY(?:-[A-Z]+)*|Apache(?:[ -][Ll]icen[cs]e)?|[Vv]ersion|v)[ -]?\d+(?:\.\d+)+"
    ),
    re.compile(r"\b(?:CC0|GPL|LGPL|MPL)[- ]?v?\d+(?:\.\d+)+"),
    re.compile(
        r"\b(?:[Ss]ections?|[Tt]ables?|[Ff]ig(?:ure|\.)s?|[Ee]q(?:uation|\.)s?|§)\s*\(?\d+(?:\.\d+)+\)?"
    ),
    re.compile(r"\barXiv[: ]\d{4}\.\d{4,5}"),
    re.compile(  # a level, as in "95 % confidence interval", but not "95 % of the intervals"
        r"\b(?:90|95|99)\s?%(?=\s+(?:(?!(?:of|at|in|on|and|is|was|are)\b)\w+\s+){0,2}(?:intervals?|level|limits?)\b)"
    ),
)


@dataclass(frozen=True)
class Finding:
    """A typed result: file, line (from 1), the figure, and the line it stands in."""

    file: str
    line: int
    figure: str
    context: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: typed result {self.figure!r} in prose; expected a role such as "
            f"{{result}} or {{fact}}: {self.context}"
        )


def _blank(match: re.Match[str]) -> str:
    """Keep the length and the line breaks, so that positions stay true."""
    return re.sub(r"[^\n]", " ", match.group())


def _without_fences(text: str) -> str:
    """Blank code fences; directives keep their body, which is prose, unless it is code or maths."""
    lines, literal = text.split("\n"), False
    closing: list[str] = []
    for number, line in enumerate(lines):
        fence = re.match(r"\s*(`{3,}(?=[^`]*$)|~{3,}|:{3,})(.*)", line)  # ```x``` is code in a line
        if fence and closing and not fence[2].strip() and fence[1].startswith(closing[-1]):
            closing.pop()
            literal, lines[number] = False, ""
        elif fence and not literal:
            info = fence[2].strip()
            closing.append(fence[1])
            literal = not info.startswith("{") or bool(_LITERAL_FENCE.match(info))
            lines[number] = "" if literal else re.sub(r"^\s*[`~:]+\{[^}]*\}", "", line)
        elif literal:
            lines[number] = ""
    return "\n".join(lines)


def lint_markdown(text: str, file: str, *, first_line: int = 1) -> list[Finding]:
    """Return the typed results of a Markdown text whose first line has number `first_line` in `file`."""
    prose = _without_fences(text)
    for pattern in _SKIPPED:
        prose = pattern.sub(_blank, prose)
    original = text.split("\n")
    findings = []
    for number, line in enumerate(prose.split("\n")):
        for match in _RESULT.finditer(line):
            shown = original[number].strip()[:100]
            findings.append(Finding(file, first_line + number, match.group().strip(), shown))
    return findings


def markdown_cells(source: str) -> Iterator[tuple[int, str]]:
    """Yield the Markdown cells of a percent-format notebook: line of the cell's first text line, text."""
    start = 0
    cell: list[str] | None = None
    for number, line in enumerate([*source.split("\n"), "# %%"], start=1):
        if re.match(r"# %%", line):
            if cell is not None:
                yield start, "\n".join(cell)
            start, cell = number + 1, [] if re.match(r"# %%.*\[(?:markdown|md)\]", line) else None
        elif cell is not None:
            cell.append(re.sub(r"^# ?", "", line))


def lint_file(path: Path, name: str) -> list[Finding]:
    """Return the typed results of a notebook (`.py`) or page (`.md`); `name` is shown in findings."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return lint_markdown(text, name)
    cells = markdown_cells(text)
    return [finding for line, cell in cells for finding in lint_markdown(cell, name, first_line=line)]


def lint_repository(root: Path) -> list[Finding]:
    """Return the typed results of all notebooks and book pages under a repository root, by file and line."""
    files = sorted([*(root / "notebooks").glob("**/*.py"), *(root / "book").glob("**/*.md")])
    return [finding for path in files for finding in lint_file(path, path.relative_to(root).as_posix())]


def main(arguments: list[str] | None = None) -> int:
    """Lint the repository given (or the one at hand); return 1 if there is any finding."""
    named = sys.argv[1:] if arguments is None else arguments
    findings = lint_repository(Path(named[0]) if named else repository_root())
    sys.stdout.writelines(f"{finding}\n" for finding in findings)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
