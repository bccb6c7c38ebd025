"""The process that runs a chapter's cells: an ordinary ipykernel behind a memory cap and the network guard.

The runner writes a kernel description that starts this module; everything it needs comes in by environment
variables, so that no cell of the chapter shows any of it.
"""

from __future__ import annotations

import os
import resource
import sys
import warnings
from pathlib import Path

from echobook.pipeline.offline import refuse_network


def cap_memory(megabytes: int) -> None:
    """Bound the private writable memory of this process (0: no bound).

    RLIMIT_DATA counts what is allocated; RLIMIT_AS would also count the gigabytes of mapped libraries.
    """
    if megabytes:
        size = megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def leave_out_advice() -> None:
    """Ignore the advice to install Jupyter widgets: a page has no use for them."""
    warnings.filterwarnings("ignore", message="IProgress not found")


def main() -> None:
    """Set the guards, leave the process id where the runner can find it, and become the kernel."""
    Path(os.environ["ECHOBOOK_KERNEL_PID"]).write_text(str(os.getpid()), encoding="utf-8")
    refuse_network(os.environ["ECHOBOOK_CHAPTER"], Path(os.environ["ECHOBOOK_NETWORK_NOTE"]))
    if sys.path and Path(sys.path[0] or ".").resolve() == Path.cwd().resolve():
        del sys.path[0]  # as ipykernel's own launcher does: a chapter's neighbours are no modules

    from ipykernel import kernelapp

    leave_out_advice()
    cap_memory(int(os.environ.get("ECHOBOOK_MEMORY_MB", "0")))
    kernelapp.launch_new_instance()


if __name__ == "__main__":
    main()
