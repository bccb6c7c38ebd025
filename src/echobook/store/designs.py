"""Three designs to compare the two tables with. All keep the protocol's promises; they differ in what they
pay.

- `FatEntry` (B): one entry whose whole content is sealed together. Each event reads, opens, changes, seals
  and writes it under a version condition. Nobody can see from outside which embeddings a dead worker left,
  so only a repeated delivery recovers them.
- `SealedAttributes` (C): one entry, each text sealed in an attribute of its own. No read, but each event is
  charged for the whole entry.
- `Transactional` (D): the two tables, text and entry written in one transaction. Transactions return no
  image, so a consistent read follows.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from echobook.store.conditions import Absent, Equals
from echobook.store.deciding import ENTRIES, TEXTS, alive, expired
from echobook.store.errors import ConditionFailed, SealBroken
from echobook.store.events import Code, Event, complete
from echobook.store.items import Item, Value
from echobook.store.port import Change, Put, Update
from echobook.store.protocol import Steps, TwoTables


@dataclass
class FatEntry(TwoTables):
    """Design B: `c` holds everything, sealed; `version` guards it."""

    def steps(self, event: Event) -> Steps:
        """See TwoTables; the claim is part of the write."""
        key, token = ENTRIES.key(event.interaction), self.token()
        while True:
            yield "get-entry"
            before = self.store.get(ENTRIES, key)
            body = self._open(event.interaction, before)
            mine = self._add(body, event, token)
            yield "put-entry"
            if self._replace(event.interaction, before, body):
                break
        if not mine:
            return False
        yield "embed"
        vector = self.vector({ref: text.encode() for ref, text in sorted(body["texts"].items())})
        yield "put-vector"
        self.put_vector(event.interaction, vector)
        while True:
            yield "get-entry"
            before = self.store.get(ENTRIES, key)
            body = self._open(event.interaction, before)
            body["ev"] = sorted({*body["ev"], str(Code.EMBEDDED)})
            yield "mark-done"
            if self._replace(event.interaction, before, {**body, "done": 1}):
                return True

    def _open(self, interaction: str, item: Item | None) -> dict[str, Any]:
        if item is None or not self.live(item):  # what has expired counts as missing
            return {"ev": [], "texts": {}}
        body: dict[str, Any] = json.loads(self.unseal(item.get("c", ""), interaction))
        return body

    def _add(self, body: dict[str, Any], event: Event, token: str) -> bool:
        """Add an event to the content; say whether that makes this worker the one to embed."""
        body["ev"] = sorted({*body["ev"], str(event.code)})
        body[f"t_{event.code.lower()}"] = round(1000 * event.at)
        if event.text is not None:
            body["texts"][event.reference] = event.text.decode()
        image: dict[str, Value] = {"ev": frozenset(body["ev"]), "refs": frozenset(body["texts"])}
        if not complete(image) or "done" in body:
            return False
        if body.get("lease", 0) >= self._now_ms() and body["owner"] != token:
            return False
        body["ev"] = sorted({*body["ev"], str(Code.EMBEDDING)})
        body.update(owner=token, lease=self._now_ms() + round(1000 * self.lease_s))
        return True

    def _replace(self, interaction: str, before: Item | None, body: Mapping[str, Any]) -> bool:
        version = before.get("version") if before else 0
        if not isinstance(version, int):
            raise SealBroken(f"{interaction}: the version is not a number")
        sealed = self.seal(json.dumps(body).encode(), interaction)
        item: Item = {"interaction": interaction, "c": sealed, "version": version + 1, "ttl": self.expiry()}
        condition = Equals("version", version) if before else Absent("version")
        try:
            self.store.put(ENTRIES, item, condition=condition)
        except ConditionFailed:
            return False
        return True


@dataclass
class SealedAttributes(TwoTables):
    """Design C: the entry holds a sealed attribute for each text."""

    def steps(self, event: Event) -> Steps:
        """See TwoTables; the returned image already holds the sealed texts."""
        yield "update-entry"
        adds: dict[str, frozenset[str] | int] = {"ev": frozenset({str(event.code)})}
        sets: dict[str, Value] = {f"t_{event.code.lower()}": round(1000 * event.at)}
        if event.text is not None:
            adds["refs"] = frozenset({event.reference})
            sets[_attribute(event.part)] = self.seal(event.text, event.reference)
        image = self.enter(event.interaction, adds, sets)
        return (yield from self.embedding(image)) if self.due(image) else False

    def collect(self, image: Mapping[str, Value]) -> dict[str, bytes] | None:
        """See TwoTables; no read is needed."""
        texts = {}
        refs = image.get("refs", frozenset())
        for ref in sorted(refs if isinstance(refs, frozenset) else ()):
            try:
                texts[ref] = self.unseal(image.get(_attribute(ref.split("#", 1)[1]), ""), ref)
            except SealBroken:
                self.tally.broken += 1
        whole = {"ev": frozenset({str(Code.EXPECT)}), "refs": frozenset(texts)}
        return texts if complete(whole) else None


def _attribute(part: str) -> str:
    return "x_" + part.replace("#", "_")


@dataclass
class Transactional(TwoTables):
    """Design D: text and entry in one transaction, then a consistent read of the entry."""

    def steps(self, event: Event) -> Steps:
        """See TwoTables."""
        key = ENTRIES.key(event.interaction)
        adds: dict[str, frozenset[str] | int] = {"ev": frozenset({str(event.code)})}
        sets: dict[str, Value] = {"ttl": self.expiry(), f"t_{event.code.lower()}": round(1000 * event.at)}
        writes: list[Put | Update] = []
        if event.text is not None:
            adds["refs"] = frozenset({event.reference})
            writes.append(Put(TEXTS, self._text_item(event, event.text)))
        yield "transact"
        now = self.clock()
        try:
            self.store.transact([*writes, Update(ENTRIES, key, Change(add=adds, set=sets), alive(now))])
        except ConditionFailed:  # expired and still there: it counts as missing
            self.store.transact([*writes, Put(ENTRIES, {**key, **adds, **sets}, expired(now))])
        yield "get-entry"
        image = self.store.get(ENTRIES, key) or key
        return (yield from self.embedding(image)) if self.due(image) else False

    def _text_item(self, event: Event, text: bytes) -> Item:
        item: Item = {"interaction": event.interaction, "part": event.part, "kind": event.kind}
        return {**item, "c": self.seal(text, event.reference), "ttl": self.expiry()}


DESIGNS: dict[str, type[TwoTables]] = {
    "two-tables": TwoTables,
    "fat-entry": FatEntry,
    "sealed-attributes": SealedAttributes,
    "transactional": Transactional,
}
