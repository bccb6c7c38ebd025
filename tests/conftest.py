"""Settings of the whole suite: one thread, no hub, and a count of the browser tests that were skipped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Leave the number of skipped browser tests in the file that `tests/run.py` names."""
    target = os.environ.get("ECHOBOOK_BROWSER_SKIPS")
    if target:
        skipped = terminalreporter.stats.get("skipped", [])
        count = sum("browser" in report.keywords for report in skipped)
        Path(target).write_text(str(count), encoding="utf-8")
