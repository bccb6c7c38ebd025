"""Events of an interaction: short codes, some with private text, and what a set of them means.

Because an entry holds a *set* of codes, the order of arrival and repeated delivery leave no trace: any order
of the same events ends in the same entry.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from echobook.data.times import END, suspicion
from echobook.store.errors import StoreError
from echobook.store.items import Value


class Code(StrEnum):
    """What happened in an interaction, from the request to the next one."""

    REQUEST = "REQ"
    HEARD = "ASR"
    UNDERSTOOD = "NLU"
    CONTEXT = "CTX"
    SPEAK = "SPEAK"
    EXPECT = "EXPECT"
    EMBEDDING = "EMB_START"
    EMBEDDED = "EMB_DONE"
    NEXT = "NEXT_ASR"
    CLOSED = "CLOSED"


REQUIRED = frozenset({"utterance", "reply"})
KINDS = REQUIRED | {"contacts", "devices", "places"}


@dataclass(frozen=True)
class Event:
    """One event: interaction, code, and for some a private text.

    Attributes:
        interaction: id of the interaction, without `#`; never holds anything private.
        code: what happened.
        at: seconds when it happened.
        kind: of the text: utterance, reply, contacts, devices or places; empty without text.
        text: UTF-8 text to keep, or None.
        number: tells texts of one kind apart.
    """

    interaction: str
    code: Code
    at: float = 0.0
    kind: str = ""
    text: bytes | None = None
    number: int = 0

    def __post_init__(self) -> None:
        """Raise StoreError for a bad id, unknown code or kind, text that is not bytes, or other units."""
        if not self.interaction or "#" in self.interaction:
            raise StoreError(f"interaction {self.interaction!r}: expected a non-empty id without '#'")
        if (self.text is None) != (not self.kind) or "#" in self.kind:
            raise StoreError(
                f"{self.code} of {self.interaction}: kind and text go together, kind without '#'"
            )
        if abs(self.at) >= END:
            raise StoreError(f"{self.interaction}: at {self.at:.6g}: expected seconds; {suspicion(self.at)}")
        if not isinstance(self.code, Code):
            raise StoreError(
                f"{self.interaction}: code {self.code!r}: expected a Code, one of "
                f"{', '.join(Code.__members__)}"
            )
        if self.text is not None and self.kind not in KINDS:
            raise StoreError(
                f"{self.code} of {self.interaction}: kind {self.kind!r}: expected one of "
                f"{', '.join(sorted(KINDS))}"
            )
        if self.text is not None and not isinstance(self.text, bytes):
            raise StoreError(
                f"{self.reference}: text: expected bytes, got {type(self.text).__name__}; try text.encode()"
            )

    @property
    def part(self) -> str:
        """Sort value of the text's item."""
        return f"{self.kind}#{self.number}"

    @property
    def reference(self) -> str:
        """Name of the text's item, from the event entry and in the seal."""
        return f"{self.interaction}#{self.part}"


def check_together(events: Sequence[Event]) -> None:
    """Raise StoreError unless there is at least one event, and all are of one interaction."""
    names = sorted({event.interaction for event in events})
    if len(names) != 1:
        raise StoreError(
            f"expected events of one interaction, got {', '.join(names) or 'none'}; try `write` for several"
        )


def codes(image: Mapping[str, Value] | None) -> frozenset[str]:
    """Return the codes in an event entry."""
    found = (image or {}).get("ev", frozenset())
    return found if isinstance(found, frozenset) else frozenset()


def references(image: Mapping[str, Value] | None) -> frozenset[str]:
    """Return the references in an event entry."""
    found = (image or {}).get("refs", frozenset())
    return found if isinstance(found, frozenset) else frozenset()


def kinds(refs: Collection[str]) -> frozenset[str]:
    """Return the kinds of text that references name."""
    return frozenset(ref.split("#")[1] for ref in refs)


def complete(image: Mapping[str, Value] | None) -> bool:
    """Say whether the microphone will open again and the texts that an embedding needs are stored."""
    return Code.EXPECT in codes(image) and kinds(references(image)) >= REQUIRED


def state(image: Mapping[str, Value] | None) -> str:
    """Return where it stands: new, heard, answering, armed, embedding, ready, used, late or closed."""
    found = codes(image)
    if Code.NEXT in found:
        return "used" if Code.EMBEDDED in found else "late"
    for code, name in (
        (Code.EMBEDDED, "ready"),
        (Code.EMBEDDING, "embedding"),
        (Code.EXPECT, "armed"),
        (Code.CLOSED, "closed"),
        (Code.SPEAK, "answering"),
    ):
        if code in found:
            return name
    return "heard" if found & {Code.HEARD, Code.UNDERSTOOD} else "new"
