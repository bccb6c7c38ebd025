"""Wire form, error translation, batches, pages."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from echobook.store.conditions import Absent, AllOf, AnyOf, Below, Equals
from echobook.store.deciding import ENTRIES
from echobook.store.dynamodb import DynamoStore
from echobook.store.errors import ConditionFailed, ItemTooLarge, StoreError, Throttled, Unsupported
from echobook.store.expressions import Expressions, from_wire, to_wire
from echobook.store.port import Change

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
    assert expressions.condition(condition) == "attribute_not_exists(#3) AND (#1 < :2 OR #4 = :3)"
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


class Scripted:
    """A client that answers each operation from a script and keeps what it was asked."""

    def __init__(self, **answers):
        self.asked, self.answers = [], {name: list(given) for name, given in answers.items()}

    def __getattr__(self, operation):
        if operation not in self.answers:
            raise AttributeError(operation)

        def call(**arguments):
            self.asked.append((operation, arguments))
            answer = self.answers[operation].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def close(self):
        self.asked.append(("close", {}))


def refusal(code, message=""):
    return ClientError({"Error": {"Code": code, "Message": message}}, "Any")


def items(*names):
    return [{"interaction": {"S": name}} for name in names]


def test_an_update_asks_for_the_new_image_in_the_same_call():
    client = Scripted(
        update_item=[
            {
                "Attributes": {"interaction": {"S": "i"}, "ev": {"SS": ["REQ"]}, "ttl": {"N": "9"}},
                "ConsumedCapacity": {"CapacityUnits": 2.0},
            }
        ]
    )
    store = DynamoStore(client, prefix="p_")
    image = store.update(ENTRIES, KEY, Change(add={"ev": frozenset({"REQ"})}), condition=Absent("done"))
    assert image == {"interaction": "i", "ev": frozenset({"REQ"}), "ttl": 9}
    assert client.asked == [
        (
            "update_item",
            {
                "TableName": "p_" + ENTRIES.name,
                "Key": {"interaction": {"S": "i"}},
                "UpdateExpression": "ADD #0 :0",
                "ConditionExpression": "attribute_not_exists(#1)",
                "ExpressionAttributeNames": {"#0": "ev", "#1": "done"},
                "ExpressionAttributeValues": {":0": {"SS": ["REQ"]}},
                "ReturnValues": "ALL_NEW",
                "ReturnConsumedCapacity": "TOTAL",
            },
        )
    ]
    assert (store.spent.write_units, store.spent.calls["update"]) == (2.0, 1)


def test_pages_are_followed_to_the_end():
    first = {"Items": items("a", "b"), "LastEvaluatedKey": {"interaction": {"S": "b"}}}
    client = Scripted(scan=[first, {"Items": items("c")}], query=[first, {"Items": []}])
    store = DynamoStore(client)
    assert [item["interaction"] for item in store.scan(ENTRIES)] == ["a", "b", "c"]
    assert [item["interaction"] for item in store.query(ENTRIES, "x")] == ["a", "b"]
    starts = [arguments.get("ExclusiveStartKey") for _, arguments in client.asked]
    assert starts == [None, {"interaction": {"S": "b"}}] * 2
    assert store.spent.calls == {"scan": 2, "query": 2}


@pytest.mark.parametrize(("count", "calls"), [(1, [1]), (25, [25]), (26, [25, 1]), (60, [25, 25, 10])])
def test_writes_go_in_twenty_fives(count, calls):
    client = Scripted(batch_write_item=[{}] * len(calls))
    DynamoStore(client).put_many(ENTRIES, [ENTRIES.key(f"i{number}") for number in range(count)])
    assert [len(arguments["RequestItems"][ENTRIES.name]) for _, arguments in client.asked] == calls


@pytest.mark.parametrize(("count", "calls"), [(1, [1]), (100, [100]), (101, [100, 1])])
def test_reads_go_in_hundreds(count, calls):
    names = [f"i{number:03}" for number in range(count)]
    answers = [{"Responses": {ENTRIES.name: items(*reversed(names))}}] * len(calls)
    client = Scripted(batch_get_item=answers)
    found = DynamoStore(client).get_many(ENTRIES, [ENTRIES.key(name) for name in names], consistent=False)
    assert [item["interaction"] for item in found] == names  # in the order asked for
    asked = [arguments["RequestItems"][ENTRIES.name] for _, arguments in client.asked]
    assert [len(one["Keys"]) for one in asked] == calls
    assert not any(one["ConsistentRead"] for one in asked)


def test_undone_keys_are_asked_again_then_given_up():
    left = {"UnprocessedKeys": {ENTRIES.name: {"Keys": items("b")}}}
    client = Scripted(
        batch_get_item=[
            {"Responses": {ENTRIES.name: items("a")}, **left},
            {"Responses": {ENTRIES.name: items("b")}},
        ]
    )
    keys = [ENTRIES.key("b"), ENTRIES.key("a")]
    assert [item["interaction"] for item in DynamoStore(client).get_many(ENTRIES, keys)] == ["b", "a"]
    assert client.asked[1][1]["RequestItems"][ENTRIES.name]["Keys"] == items("b")
    never = Scripted(batch_get_item=[{"Responses": {}, **left}] * 20)
    with pytest.raises(Throttled, match="1 keys were not processed"):
        DynamoStore(never).get_many(ENTRIES, keys)
    assert len(never.asked) == 8


def test_a_table_that_exists_is_no_error_and_one_that_does_not_come_is():
    active, creating = ({"Table": {"TableStatus": status}} for status in ("ACTIVE", "CREATING"))
    client = Scripted(
        create_table=[refusal("ResourceInUseException")],
        describe_table=[creating, active],
        update_time_to_live=[refusal("ValidationException", "TimeToLive is already enabled")],
    )
    DynamoStore(client).create([ENTRIES])
    assert [name for name, _ in client.asked] == [
        "create_table",
        "describe_table",
        "describe_table",
        "update_time_to_live",
    ]
    assert client.asked[-1][1]["TimeToLiveSpecification"] == {"Enabled": True, "AttributeName": "ttl"}
    slow = Scripted(create_table=[{}], describe_table=[creating] * 999)
    with pytest.raises(StoreError, match=r"not active after 0\.1 s"):
        DynamoStore(slow).create([ENTRIES], wait_s=0.1)
    denied = Scripted(create_table=[refusal("AccessDeniedException", "no")])
    with pytest.raises(StoreError, match="create_table: AccessDeniedException: no"):
        DynamoStore(denied).create([ENTRIES])


def test_a_refused_condition_costs_its_least_unit_and_other_errors_nothing():
    client = Scripted(put_item=[refusal("ConditionalCheckFailedException"), refusal("ThrottlingException")])
    store = DynamoStore(client)
    with pytest.raises(ConditionFailed):
        store.put(ENTRIES, KEY, condition=Absent("n"))
    assert (store.spent.write_units, store.spent.calls["refused"]) == (1.0, 1)
    with pytest.raises(Throttled):
        store.put(ENTRIES, KEY)
    assert store.spent.write_units == 1.0


def test_what_is_malformed_is_never_sent():
    client = Scripted()
    store = DynamoStore(client)
    for call in (
        lambda: store.put(ENTRIES, {"n": 1}),
        lambda: store.put(ENTRIES, {**KEY, "b": bytes(500_000)}),
        lambda: store.update(ENTRIES, KEY, Change()),
        lambda: store.get(ENTRIES, {}),
        lambda: store.put_many(ENTRIES, [KEY, KEY]),
        lambda: store.delete(ENTRIES, {"interaction": ""}),
    ):
        with pytest.raises(StoreError):
            call()
    assert client.asked == []


def test_a_missing_item_is_none_and_closing_closes():
    client = Scripted(get_item=[{"ConsumedCapacity": {"CapacityUnits": 0.5}}])
    store = DynamoStore(client)
    assert store.get(ENTRIES, KEY, consistent=False) is None
    assert store.spent.read_units == 0.5
    store.close()
    assert client.asked[-1][0] == "close"
