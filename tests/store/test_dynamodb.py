"""Wire form, error translation, batches, pages."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from echobook.store.conditions import Absent, AllOf, AnyOf, Below, Equals
from echobook.store.dynamodb import DynamoStore
from echobook.store.errors import ConditionFailed, ItemTooLarge, StoreError, Throttled, Unsupported
from echobook.store.expressions import Expressions, from_wire, to_wire
from echobook.store.port import Change
from echobook.store.protocol import ENTRIES

KEY = ENTRIES.key("i")


def test_wire_form_literal_and_back():
    item = {"s": "x", "n": -5, "b": b"\x00", "w": frozenset({"b", "a"})}
    wire = {"s": {"S": "x"}, "n": {"N": "-5"}, "b": {"B": b"\x00"}, "w": {"SS": ["a", "b"]}}
    assert to_wire(item) == wire
    assert from_wire(wire) == item
    with pytest.raises(StoreError, match="has type BOOL; expected S, N, B or SS"):
        from_wire({"x": {"BOOL": True}})


def test_expressions_literal():
    expressions = Expressions()
    change = Change(add={"ev": frozenset({"A"})}, set={"ttl": 5}, remove=("x",))
    assert expressions.change(change) == "ADD #0 :0 SET #1 = :1 REMOVE #2"
    condition = AllOf((Absent("done"), AnyOf((Below("ttl", 9), Equals("o", "me")))))
    assert expressions.condition(condition) == "(attribute_not_exists(#3) AND (#1 < :2 OR #4 = :3))"
    assert expressions.arguments() == {
        "ExpressionAttributeNames": {"#0": "ev", "#1": "ttl", "#2": "x", "#3": "done", "#4": "o"},
        "ExpressionAttributeValues": {
            ":0": {"SS": ["A"]},
            ":1": {"N": "5"},
            ":2": {"N": "9"},
            ":3": {"S": "me"},
        },
    }
    assert Expressions().arguments() == {}


class Refusing:
    """A client whose calls fail as a server's would."""

    def __init__(self, code, status=400, message="", reasons=()):
        self.response = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
            "CancellationReasons": [{"Code": reason} for reason in reasons],
        }

    def get_item(self, **_):
        raise ClientError(self.response, "GetItem")


@pytest.mark.parametrize(
    ("client", "error"),
    [
        (Refusing("ConditionalCheckFailedException"), ConditionFailed),
        (
            Refusing("TransactionCanceledException", reasons=["None", "ConditionalCheckFailed"]),
            ConditionFailed,
        ),
        (Refusing("ProvisionedThroughputExceededException"), Throttled),
        (Refusing("ThrottlingException"), Throttled),
        (Refusing("Whatever", status=503), Throttled),
        (Refusing("UnknownOperationException"), Unsupported),
        (Refusing("ValidationException", message="Item size has exceeded the maximum"), ItemTooLarge),
        (Refusing("ValidationException", message="bad"), StoreError),
    ],
)
def test_errors_are_translated(client, error):
    with pytest.raises(StoreError) as caught:
        DynamoStore(client).get(ENTRIES, KEY)
    assert type(caught.value) is error


def test_no_server_is_throttled_and_no_credentials_are_explained():
    class Silent:
        def get_item(self, **_):
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1", error="refused")

    class Unknown:
        def get_item(self, **_):
            raise NoCredentialsError

    with pytest.raises(Throttled, match="no answer from the server"):
        DynamoStore(Silent()).get(ENTRIES, KEY)
    with pytest.raises(StoreError, match="AWS_ACCESS_KEY_ID"):
        DynamoStore(Unknown()).get(ENTRIES, KEY)


def test_undone_batch_items_are_sent_again_then_given_up():
    class Partial:
        def __init__(self, always):
            self.calls, self.always = [], always

        def batch_write_item(self, RequestItems, **_):
            ((name, requests),) = RequestItems.items()
            self.calls.append(len(requests))
            undone = requests if self.always else requests[1:]
            return {"UnprocessedItems": {name: undone} if undone else {}}

    partial = Partial(always=False)
    DynamoStore(partial).put_many(ENTRIES, [ENTRIES.key(f"i{number}") for number in range(3)])
    assert partial.calls == [3, 2, 1]
    with pytest.raises(Throttled, match="1 items were not processed"):
        DynamoStore(Partial(always=True)).put_many(ENTRIES, [KEY])
