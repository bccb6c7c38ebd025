"""Whatever a server answers, the port raises its own errors; what is right is read as it is."""

import pytest

from echobook.store.answers import item_of, part, translated, units
from echobook.store.deciding import ENTRIES
from echobook.store.dynamodb import DynamoStore
from echobook.store.errors import StoreError, Throttled
from echobook.store.port import Change
from echobook.store.protocol import TwoTables
from echobook.store.sealing import KeyRing

KEY = ENTRIES.key("i")
ODD = [
    {},
    {"Item": 3, "Items": 3, "Attributes": 3, "Responses": 3},
    {"Item": {"v": 3}, "Items": [3], "Attributes": {"v": 3}, "Responses": {ENTRIES.name: [3]}},
    {"Item": {"v": {}}, "Items": [{"v": {}}], "Attributes": {"v": {}}},
    {"Item": {"v": {"N": "x"}}, "Items": [None], "Attributes": None, "ConsumedCapacity": 7},
    {"Item": {"v": {"B": "text"}}, "Items": "x", "Attributes": [], "ConsumedCapacity": [None]},
]
CALLS = {
    "update": lambda store: store.update(ENTRIES, KEY, Change(set={"n": 1})),
    "get": lambda store: store.get(ENTRIES, KEY),
    "get_many": lambda store: store.get_many(ENTRIES, [KEY]),
    "query": lambda store: store.query(ENTRIES, "i"),
    "scan": lambda store: list(store.scan(ENTRIES)),
}


class Odd:
    """A client that answers every call alike."""

    def __init__(self, answer):
        self.answer = answer

    def __getattr__(self, operation):
        return lambda **_: self.answer


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize("answer", ODD, ids=str)
def test_an_odd_answer_is_refused_with_what_to_try(verb, answer):
    if verb == "get" and "Item" not in answer:
        assert CALLS[verb](DynamoStore(Odd(answer))) is None  # how DynamoDB says that there is none
        return
    with pytest.raises(StoreError, match=rf"{verb}: .*try whether the endpoint is a server of DynamoDB"):
        CALLS[verb](DynamoStore(Odd(answer)))


@pytest.mark.parametrize("answer", ODD, ids=str)
def test_the_recogniser_reads_nothing_from_it(answer):
    design = TwoTables(DynamoStore(Odd(answer)), KeyRing.generate(), lambda: 1e6, lambda texts: b"")
    assert design.read("i") is None


def test_what_is_right_is_read_as_it_is():
    assert item_of("get", {"interaction": {"S": "i"}, "n": {"N": "-5"}}) == {**KEY, "n": -5}
    assert part("scan", {"Items": [1]}, "Items", list) == [1]
    assert units({"ConsumedCapacity": [{"CapacityUnits": 1.5}, {"CapacityUnits": 1.0}]}) == 2.5
    assert units({"ConsumedCapacity": {"CapacityUnits": 2.0}}) == 2.0
    assert units({}) == 0.0
    assert type(translated("get", {"Error": {"Code": "ThrottlingException"}})) is Throttled
