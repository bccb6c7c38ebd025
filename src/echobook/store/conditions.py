"""Conditions of a write: small values that every back-end evaluates alike.

`holds` is the meaning; the DynamoDB adapter writes the same tree as an expression, and a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from echobook.store.items import Value


@dataclass(frozen=True)
class Absent:
    """The attribute is missing (or the whole item is)."""

    name: str


@dataclass(frozen=True)
class Equals:
    """The attribute is there and equals a value of the same type."""

    name: str
    value: Value


@dataclass(frozen=True)
class Below:
    """The attribute is a number less than a bound."""

    name: str
    bound: int


@dataclass(frozen=True)
class Not:
    """The part does not hold: a missing attribute is not below any bound, so its negation holds."""

    part: "Condition"


@dataclass(frozen=True)
class AllOf:
    """Every part holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple["Condition", ...]


Condition = Absent | Equals | Below | Not | AllOf | AnyOf


def holds(condition: Condition | None, item: Mapping[str, Value] | None) -> bool:
    """Say whether a condition holds for an item, or for no item; no condition always holds."""
    found = item or {}
    match condition:
        case None:
            return True
        case Absent(name):
            return name not in found
        case Equals(name, value):
            return name in found and type(found[name]) is type(value) and found[name] == value
        case Below(name, bound):
            number = found.get(name)
            return isinstance(number, int) and number < bound
        case Not(part):
            return not holds(part, item)
        case AllOf(parts):
            return all(holds(part, found) for part in parts)
        case AnyOf(parts):
            return any(holds(part, found) for part in parts)
