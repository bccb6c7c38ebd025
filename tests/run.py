"""Run the test suite; the last line says how many browser tests were left out for want of Chromium or a book.

Arguments go to pytest. With ``ECHOBOOK_REQUIRE_BROWSER=1`` a skipped browser test is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("OMP", "OPENBLAS", "MKL")


def main() -> int:
    """Run pytest on two processes; return its exit status."""
    environment = {**os.environ, **{f"{library}_NUM_THREADS": "1" for library in LIBRARIES}}
    environment.pop("ECHOBOOK_ROOT", None)
    chosen = sys.argv[1:] or ["-n", "2", "--dist", "loadfile"]
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, "skipped.txt")
        environment["ECHOBOOK_BROWSER_SKIPS"] = str(note)
        command = [sys.executable, "-m", "pytest", "-q", *chosen]
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        skipped = int(note.read_text(encoding="utf-8")) if note.is_file() else 0
    if skipped:
        print(
            f"{skipped} browser tests skipped: they need Chromium with its driver (apt-get install"
            " chromium-driver) and a built book (make book)"
        )
        if os.environ.get("ECHOBOOK_REQUIRE_BROWSER") == "1":
            return status or 1
    return status


if __name__ == "__main__":
    sys.exit(main())
