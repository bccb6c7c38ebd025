"""The store on DynamoDB, or anything that speaks its protocol, through boto3.

Credentials come from boto3's standard chain only (environment, shared file, role). The library's own retries
are off: `echobook.store.retry` repeats calls, with jitter. `spent` sums the capacity units that the server
reports; a refused condition reports none and is counted as one unit, its least cost.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from echobook.store.answers import item_of, part, translated, units
from echobook.store.conditions import Condition
from echobook.store.errors import ConditionFailed, StoreError, Throttled, Unsupported
from echobook.store.expressions import Expressions, Wire, to_wire
from echobook.store.items import Item, Table, check_item
from echobook.store.port import Change, Put, Spent, Write, check_distinct

_WRITES, _READS, _ROUNDS = 25, 100, 8
_TRY = (
    "try the environment variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION or a shared "
    "credentials file"
)
_TRY_SERVER = "try whether it runs, whether the endpoint names its host and port, or a longer timeout"


def connect(
    endpoint: str | None = None, *, region: str | None = None, timeout_s: float = 5.0, quick: bool = False
) -> Any:
    """Return boto3's DynamoDB client; `endpoint` None is the real service of the region.

    `quick`: with calls that cost less processor time, see `echobook.store.transport`. Raises StoreError then
    where the chain has no credentials or region; without it, the first call does.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import NoCredentialsError, NoRegionError

    settings = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=timeout_s,
        read_timeout=timeout_s,
        max_pool_connections=32,
        parameter_validation=False,
    )
    if not quick:
        return boto3.client("dynamodb", endpoint_url=endpoint, region_name=region, config=settings)
    from echobook.store.transport import quick_client

    try:
        return quick_client(endpoint, region=region, timeout_s=timeout_s, settings=settings)
    except (NoCredentialsError, NoRegionError) as error:
        raise StoreError(f"{error}; {_TRY}") from None


class DynamoStore:
    """The port over a DynamoDB client. Safe to share between threads."""

    def __init__(self, client: Any, *, prefix: str = "") -> None:
        """`client`: from `connect`. `prefix`: put before each table's name."""
        self.spent = Spent()
        self._client, self._prefix = client, prefix

    def _name(self, table: Table) -> str:
        return self._prefix + table.name

    def create(self, tables: Sequence[Table], *, wait_s: float = 30.0) -> None:
        """Create the tables that are missing, on demand, with `ttl` as their time to live where supported."""
        for table in tables:
            kinds = zip(table.keys, ("HASH", "RANGE"), strict=False)
            try:
                self._call(
                    "create_table",
                    TableName=self._name(table),
                    KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in kinds],
                    AttributeDefinitions=[
                        {"AttributeName": name, "AttributeType": "S"} for name in table.keys
                    ],
                    BillingMode="PAY_PER_REQUEST",
                )
            except StoreError as error:
                if "ResourceInUse" not in str(error):
                    raise
            self._wait(table, wait_s)
            self._expire(table)

    def _wait(self, table: Table, wait_s: float) -> None:
        end = time.monotonic() + wait_s
        while self._status(table) != "ACTIVE":
            if time.monotonic() > end:
                raise StoreError(f"{table.name}: not active after {wait_s:g} s")
            time.sleep(0.02)

    def _status(self, table: Table) -> str:
        answer = self._call("describe_table", TableName=self._name(table))
        return part("describe_table", part("describe_table", answer, "Table", dict), "TableStatus", str)

    def _expire(self, table: Table) -> None:
        wanted = {"Enabled": True, "AttributeName": "ttl"}
        try:
            self._call("update_time_to_live", TableName=self._name(table), TimeToLiveSpecification=wanted)
        except Unsupported:
            return  # a server without it: the sweeper deletes
        except StoreError as error:
            if "already enabled" not in str(error):
                raise

    def _call(self, operation: str, **arguments: Any) -> Wire:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

        try:
            answer: Wire = getattr(self._client, operation)(**arguments)
            return answer
        except ClientError as error:
            raise translated(operation, error.response) from None
        except (NoCredentialsError, NoRegionError) as error:
            raise StoreError(f"{operation}: {error}; {_TRY}") from None
        except BotoCoreError as error:
            raise Throttled(f"{operation}: no answer from the server: {error}; {_TRY_SERVER}") from None

    def _write(self, verb: str, operation: str, **arguments: Any) -> Wire:
        try:
            answer = self._call(operation, ReturnConsumedCapacity="TOTAL", **arguments)
        except ConditionFailed:
            self.spent.write("refused", 1.0)
            raise
        self.spent.write(verb, units(answer))
        return answer

    def _read(self, verb: str, operation: str, **arguments: Any) -> Wire:
        answer = self._call(operation, ReturnConsumedCapacity="TOTAL", **arguments)
        self.spent.read(verb, units(answer))
        return answer

    def put(self, table: Table, item: Item, *, condition: Condition | None = None) -> None:
        """See the port."""
        check_item(table, item)
        self._write(
            "put",
            "put_item",
            TableName=self._name(table),
            Item=to_wire(item),
            **_if(condition, Expressions()),
        )

    def put_many(self, table: Table, items: Sequence[Item]) -> None:
        """See the port; 25 items a call. What the server left undone is sent again, then Throttled."""
        check_distinct(table, items)
        for item in items:
            check_item(table, item)
        requests = [{"PutRequest": {"Item": to_wire(item)}} for item in items]
        for start in range(0, len(requests), _WRITES):
            left = requests[start : start + _WRITES]
            for _ in range(_ROUNDS):
                answer = self._write("put_many", "batch_write_item", RequestItems={self._name(table): left})
                left = answer.get("UnprocessedItems", {}).get(self._name(table), [])
                if not left:
                    break
            else:
                raise Throttled(f"{table.name}: {len(left)} items were not processed")

    def update(self, table: Table, key: Item, change: Change, *, condition: Condition | None = None) -> Item:
        """See the port."""
        change.check(table)
        table.identity(key)
        expressions = Expressions()
        answer = self._write(
            "update",
            "update_item",
            TableName=self._name(table),
            Key=to_wire(key),
            UpdateExpression=expressions.change(change),
            ReturnValues="ALL_NEW",
            **_if(condition, expressions),
        )
        return item_of("update", part("update", answer, "Attributes", dict))

    def get(self, table: Table, key: Item, *, consistent: bool = True) -> Item | None:
        """See the port."""
        table.identity(key)
        answer = self._read(
            "get", "get_item", TableName=self._name(table), Key=to_wire(key), ConsistentRead=consistent
        )
        return item_of("get", answer["Item"]) if "Item" in answer else None

    def get_many(self, table: Table, keys: Sequence[Item], *, consistent: bool = True) -> list[Item]:
        """See the port; 100 keys a call."""
        check_distinct(table, keys)
        found: dict[tuple[str, str], Item] = {}
        for start in range(0, len(keys), _READS):
            left: list[Any] = [to_wire(key) for key in keys[start : start + _READS]]
            for _ in range(_ROUNDS):
                wanted = {self._name(table): {"Keys": left, "ConsistentRead": consistent}}
                answer = self._read("get_many", "batch_get_item", RequestItems=wanted)
                for wire in part("get_many", answer, "Responses", dict).get(self._name(table), []):
                    item = item_of("get_many", wire)
                    found[table.identity(item)] = item
                left = answer.get("UnprocessedKeys", {}).get(self._name(table), {}).get("Keys", [])
                if not left:
                    break
            else:
                raise Throttled(f"{table.name}: {len(left)} keys were not processed")
        return [found[at] for key in keys if (at := table.identity(key)) in found]

    def query(self, table: Table, partition: str, *, prefix: str = "", consistent: bool = True) -> list[Item]:
        """See the port."""
        expressions = Expressions()
        wanted = f"{expressions.name(table.partition_key)} = {expressions.value(partition)}"
        if prefix and table.sort_key:
            wanted += f" AND begins_with({expressions.name(table.sort_key)}, {expressions.value(prefix)})"
        return list(
            self._pages(
                "query",
                TableName=self._name(table),
                ConsistentRead=consistent,
                KeyConditionExpression=wanted,
                **expressions.arguments(),
            )
        )

    def delete(self, table: Table, key: Item, *, condition: Condition | None = None) -> None:
        """See the port."""
        table.identity(key)
        self._write(
            "delete",
            "delete_item",
            TableName=self._name(table),
            Key=to_wire(key),
            **_if(condition, Expressions()),
        )

    def scan(self, table: Table) -> Iterator[Item]:
        """See the port."""
        return self._pages("scan", TableName=self._name(table))

    def _pages(self, operation: str, **arguments: Any) -> Iterator[Item]:
        start: Wire = {}
        while True:
            answer = self._read(operation, operation, **arguments, **start)
            yield from (item_of(operation, wire) for wire in part(operation, answer, "Items", list))
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def transact(self, writes: Sequence[Write]) -> None:
        """See the port."""
        self._write("transact", "transact_write_items", TransactItems=[self._action(one) for one in writes])

    def _action(self, write: Write) -> Wire:
        expressions, name = Expressions(), self._name(write.table)
        if isinstance(write, Put):
            check_item(write.table, write.item)
            return {
                "Put": {"TableName": name, "Item": to_wire(write.item), **_if(write.condition, expressions)}
            }
        write.change.check(write.table)
        change = {"UpdateExpression": expressions.change(write.change)}
        key = {"TableName": name, "Key": to_wire(write.key)}
        return {"Update": {**key, **change, **_if(write.condition, expressions)}}

    def together(self) -> AbstractContextManager[None]:
        """Every write is durable by itself; there is nothing to hold together."""
        return nullcontext()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _if(condition: Condition | None, expressions: Expressions) -> Wire:
    """Return the arguments of a condition together with what else the expressions hold."""
    wanted = {} if condition is None else {"ConditionExpression": expressions.condition(condition)}
    return {**wanted, **expressions.arguments()}
