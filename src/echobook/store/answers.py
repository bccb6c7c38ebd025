"""A server's answers read with care: errors as the port's, units, and parts that may be missing or odd.

A proxy, a broken server or another service behind the endpoint may answer with anything; what is read of an
answer here raises StoreError then, not whatever happens to fail first.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from echobook.store.errors import ConditionFailed, ItemTooLarge, StoreError, Throttled, Unsupported
from echobook.store.expressions import from_wire
from echobook.store.items import Item

T = TypeVar("T")
_TRY = "try whether the endpoint is a server of DynamoDB's protocol"
_SLOW_DOWN = {
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TransactionConflictException",
    "InternalServerError",
    "ServiceUnavailable",
}


def part(operation: str, answer: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """Return a part that every right answer has. Raises StoreError when it is missing or of another type."""
    found = answer.get(name)
    if not isinstance(found, kind):
        raise StoreError(
            f"{operation}: expected {name!r}, a {kind.__name__}, in the answer, "
            f"got {type(found).__name__}; {_TRY}"
        )
    return found


def item_of(operation: str, wire: Any) -> Item:
    """Return a plain item. Raises StoreError for anything but an item in wire form."""
    try:
        return from_wire(wire)
    except (AttributeError, TypeError, ValueError) as error:
        raise StoreError(
            f"{operation}: expected an item in wire form in the answer ({type(error).__name__}); {_TRY}"
        ) from None


def units(answer: Mapping[str, Any]) -> float:
    """Return the capacity units that an answer reports, 0 when it reports none."""
    consumed = answer.get("ConsumedCapacity") or {}
    parts = consumed if isinstance(consumed, list) else [consumed]
    return float(sum(one.get("CapacityUnits", 0.0) for one in parts if isinstance(one, dict)))


def translated(operation: str, response: Mapping[str, Any]) -> StoreError:
    """Return the port's error for a server's."""
    code = response.get("Error", {}).get("Code", "")
    said = f"{operation}: {code}: {response.get('Error', {}).get('Message', '')}"
    reasons = {reason.get("Code") for reason in response.get("CancellationReasons", [])}
    if code == "ConditionalCheckFailedException" or "ConditionalCheckFailed" in reasons:
        return ConditionFailed(f"{operation}: the condition does not hold")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _SLOW_DOWN or status >= 500:
        return Throttled(said)
    if code in ("UnknownOperationException", "UnknownOperation"):
        return Unsupported(f"{operation}: this server does not know the operation")
    if "size" in said and "exceeded" in said:
        return ItemTooLarge(said)
    return StoreError(said)
