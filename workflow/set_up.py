"""Create `.venv` and install the pinned packages in one command; do nothing when that is already done.

Needs Python 3.11 or 3.12 and its standard library only. The stamp in `.venv` holds a digest of
`constraints.txt`, `pyproject.toml` and the interpreter, so an edit of either installs again and anything else
takes milliseconds.
"""

import fcntl
import hashlib
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "echobook.stamp"
EXTRAS = ".[book,test,lab,slurm]"


def digest() -> str:
    """Return what the installed environment must agree with."""
    found = hashlib.sha256(f"{sys.version_info[:2]} {ROOT} {EXTRAS}".encode())
    for name in ("constraints.txt", "pyproject.toml"):
        found.update((ROOT / name).read_bytes())
    return found.hexdigest()


def up_to_date(wanted: str) -> bool:
    """Say whether the environment was installed from the files as they are now."""
    return (
        STAMP.is_file() and STAMP.read_text(encoding="utf-8") == wanted and (VENV / "bin" / "python").exists()
    )


def install() -> None:
    """Create the environment if it is missing and install everything in one command."""
    if not (VENV / "bin" / "python").exists():
        import venv

        venv.create(VENV, with_pip=True, clear=True)
    pip = [
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        "constraints.txt",
        "-e",
        EXTRAS,
    ]
    subprocess.run(pip, cwd=ROOT, check=True)


def main() -> int:
    """Set up; return the exit status."""
    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        print(
            f"Python 3.11 or 3.12 is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12",
            file=sys.stderr,
        )
        return 1
    wanted = digest()
    if up_to_date(wanted):
        return 0
    with (ROOT / ".venv.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second `make` waits here, then finds the stamp
        if up_to_date(wanted):
            return 0
        print("Setting up .venv: about 270 packages, 2 to 6 minutes and 2 GB the first time ...", flush=True)
        started = time.monotonic()
        STAMP.unlink(missing_ok=True)
        try:
            install()
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"set-up failed: {error}", file=sys.stderr)
            print(
                "  try: the message above; on Debian and Ubuntu `apt-get install python3-venv`",
                file=sys.stderr,
            )
            return 1
        STAMP.write_text(wanted, encoding="utf-8")
        print(f"Set up in {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
