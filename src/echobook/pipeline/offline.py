"""Keep a chapter off the network: an audit hook that refuses every address but this machine's own.

Audit hooks see `socket` calls whatever library makes them and cannot be taken off again. Each refusal is also
noted in a file, so that a library which swallows the error cannot hide it from the runner. What Python cannot
see (a compiled library or a child process with sockets of its own) is not covered; the offline settings of
the hub libraries are set beside this.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from pathlib import Path
from typing import Any


class NetworkRefusedError(RuntimeError):
    """A chapter asked for an address outside this machine."""


def is_local(host: object) -> bool:
    """Say whether a host name or address means this machine (None and the empty string do)."""
    name = host.decode(errors="replace") if isinstance(host, bytes) else host
    if name is None or name in ("", "localhost", "ip6-localhost") or name == socket.gethostname():
        return True
    try:
        address = ipaddress.ip_address(str(name).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _asked_host(event: str, arguments: tuple[Any, ...]) -> tuple[bool, object]:
    """Return whether `event` names a host, and which."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        return True, arguments[0]
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        connection, address = arguments[0], arguments[1]
        if getattr(connection, "family", None) in (socket.AF_INET, socket.AF_INET6) and address:
            return True, address[0]
    return False, None


def refuse_network(chapter: str, note: Path) -> None:
    """Refuse, from now on and for the life of the process, every connection that leaves this machine.

    Args:
        chapter: slug, named in the error.
        note: file to which each refused host is added, one a line.
    """

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not event.startswith("socket."):
            return
        asked, host = _asked_host(event, arguments)
        if not asked or is_local(host):
            return
        shown = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
        with note.open("a", encoding="utf-8") as stream:
            stream.write(f"{shown}\n")
        raise NetworkRefusedError(
            f"chapter {chapter} asked for the network ({shown}); chapters run offline. "
            "Declare the data set in data/registry.csv and get it before the run: echobook fetch DATASET"
        )

    sys.addaudithook(hook)
