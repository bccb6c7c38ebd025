"""The process of a chapter's kernel: its memory cap and what it leaves out of a page."""

import subprocess
import sys
import warnings

import pytest

from echobook.pipeline.kernel import leave_out_advice


def test_advice_about_widgets_is_left_out_and_other_warnings_are_not():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        leave_out_advice()
        warnings.warn("IProgress not found. Please update jupyter and ipywidgets.", stacklevel=1)
        warnings.warn("a figure is missing", stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["a figure is missing"]


@pytest.mark.parametrize(("megabytes", "status"), [(0, 0), (2000, 0), (100, 1)])
def test_memory_beyond_the_cap_is_refused(megabytes, status):
    code = (
        "from echobook.pipeline.kernel import cap_memory\n"
        f"cap_memory({megabytes})\n"
        "block = bytearray(300 * 2**20)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == status
    assert ("MemoryError" in done.stderr) == bool(status)
