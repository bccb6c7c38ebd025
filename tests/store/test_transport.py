"""Quick calls: signature, answers and errors as botocore's; broken answers and connections named."""

import datetime
import re
import socket
import threading
from contextlib import contextmanager

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.store.conditions import Absent
from echobook.store.deciding import ENTRIES
from echobook.store.dynamodb import DynamoStore, connect
from echobook.store.errors import ConditionFailed, StoreError, Throttled, Unsupported
from echobook.store.protocol import TwoTables
from echobook.store.sealing import KeyRing
from echobook.store.servers import loopback_credentials
from echobook.store.transport import Sender, answered, read_answer, signed

KEY = ENTRIES.key("i")
STAMP = "20260102T030405Z"
SECOND = int(datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC).timestamp())


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([None, "session-token"]), st.sampled_from(["s", "t" * 40]))
def test_the_signature_is_botocores(body, token, secret):
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "host": "127.0.0.1:4567",
        "x-amz-target": "DynamoDB_20120810.GetItem",
    }
    held = Credentials("id", secret, token)
    request = AWSRequest("POST", "http://127.0.0.1:4567/", data=body, headers=dict(headers))
    request.context["timestamp"] = STAMP
    request.headers["X-Amz-Date"] = STAMP
    if token:
        request.headers["X-Amz-Security-Token"] = token
    peer = SigV4Auth(held, "dynamodb", "eu-west-1")
    expected = peer.signature(peer.string_to_sign(request, peer.canonical_request(request)), request)
    ours = signed(headers, body, held=held.get_frozen_credentials(), region="eu-west-1", stamp=STAMP)
    assert ours["authorization"].endswith(f"Signature={expected}")
    names = "content-type;host;x-amz-date;" + ("x-amz-security-token;" if token else "") + "x-amz-target"
    assert f"Credential=id/20260102/eu-west-1/dynamodb/aws4_request, SignedHeaders={names}," in str(ours)
    assert ("x-amz-security-token" in ours) == (token is not None)
    assert secret not in ours.values()


def sender(endpoint="http://127.0.0.1:4567", timeout_s=5.0):
    held = Credentials("id", "secret")
    return Sender(endpoint, credentials=held, region="eu-west-1", timeout_s=timeout_s)


def test_a_message_literal():
    head, _, body = sender().message("GetItem", b'{"a":1}', SECOND).partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    first, *rest = head.decode().split("\r\n")
    assert first == "POST / HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in rest)
    assert re.fullmatch(r"AWS4-HMAC-SHA256 .*Signature=[0-9a-f]{64}", headers.pop("authorization"))
    assert headers == {
        "content-type": "application/x-amz-json-1.0",
        "host": "127.0.0.1:4567",
        "x-amz-date": STAMP,
        "x-amz-target": "DynamoDB_20120810.GetItem",
        "user-agent": "Boto3 echobook",
        "content-length": "7",
    }


@contextmanager
def served(*answers, pieces=1, wait_s=0.0):
    """A server on loopback that gives each call the next answer, in pieces, then closes; and its calls."""
    listener = socket.create_server(("127.0.0.1", 0))
    calls, done = [], threading.Event()

    def serve():
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                for one in answer if isinstance(answer, list) else [answer]:
                    calls.append(connection.recv(65536))
                    done.wait(wait_s)
                    size = -(-len(one) // pieces) or 1
                    for start in range(0, len(one), size):
                        connection.sendall(one[start : start + size])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", calls
    finally:
        done.set()
        listener.close()
        thread.join(5)


def ok(content=b"{}", more=b""):
    return b"HTTP/1.1 200 OK\r\n" + more + b"Content-Length: %d\r\n\r\n%s" % (len(content), content)


@pytest.mark.parametrize("pieces", [1, 2, 7, 40])
def test_an_answer_may_come_in_pieces(pieces):
    with served(ok(b'{"x":"1234567890"}'), pieces=pieces) as (endpoint, _):
        one = sender(endpoint)
        assert one.send("GetItem", b"{}") == (200, b'{"x":"1234567890"}')
        one.close()


def test_a_connection_is_kept_until_the_server_says_close():
    kept, last = ok(b"1"), ok(b"2", b"Connection: close\r\n")
    with served([kept, last], ok(b"3")) as (endpoint, calls):
        one = sender(endpoint)
        assert [one.send("GetItem", b"{}")[1] for _ in range(3)] == [b"1", b"2", b"3"]
        one.close()
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "ended within its head, after 0 bytes"),
        (b"HTTP/1.1 200 OK\r\n", "ended within its head, after 17 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "expected 9 bytes of content, got 3"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "with a stated length"),
        (b"SSH-2.0-x\r\nContent-Length: 0\r\n\r\n", "expected an HTTP/1.1 answer"),
    ],
)
def test_a_broken_answer_is_named_and_the_next_call_connects_anew(answer, said):
    with served(answer, ok(b"{}")) as (endpoint, _):
        one = sender(endpoint)
        with pytest.raises(ConnectionClosedError) as caught:
            one.send("GetItem", b"{}")
        assert said in str(caught.value.__cause__)
        assert one.send("GetItem", b"{}") == (200, b"{}")
        one.close()


def test_a_head_without_end_is_refused():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        threading.Thread(
            target=theirs.sendall, args=(b"HTTP/1.1 200 " + b"x" * 200_000,), daemon=True
        ).start()
        with pytest.raises(EOFError, match="within its head"):
            read_answer(ours)


def test_a_silent_server_times_out_and_a_missing_one_is_no_connection():
    with served(ok(), wait_s=30.0) as (endpoint, _):
        one = sender(endpoint, timeout_s=0.1)
        with pytest.raises(ReadTimeoutError):
            one.send("GetItem", b"{}")
        one.close()
    with pytest.raises(EndpointConnectionError):
        sender("http://127.0.0.1:9").send("GetItem", b"{}")


def test_each_thread_has_a_connection_and_close_closes_all():
    with served(ok(), ok(), ok()) as (endpoint, _):
        one, found = sender(endpoint), []
        for _ in range(2):
            thread = threading.Thread(target=lambda: found.append(one.send("GetItem", b"{}")))
            thread.start()
            thread.join()
        assert found == [(200, b"{}")] * 2
        held = set(one._open)
        assert len(held) == 2
        one.close()
        assert all(connection.fileno() == -1 for connection in held)
        assert one.send("GetItem", b"{}") == (200, b"{}")  # a closed sender opens again
        one.close()


def test_quick_calls_are_a_base_of_boto3s_own_client():
    loopback_credentials()
    quick, plain = connect("http://127.0.0.1:9", quick=True), boto3.client("dynamodb")
    assert type(quick).__name__ == type(plain).__name__ == "DynamoDB"
    assert quick.meta.service_model.service_name == "dynamodb"
    assert "_make_api_call" not in vars(type(plain))
    assert "sender" not in dir(plain)  # the event is registered for one session only
    quick.close()


def test_an_error_has_botocores_form():
    answer = b'{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}'
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(answer)
    loopback_credentials()
    with served(head + answer, head + answer) as (endpoint, _):
        client = connect(endpoint, quick=True)
        with pytest.raises(ClientError, match="slow down") as caught:
            client.get_item(TableName="x", Key={})
        assert caught.value.response["Error"]["Code"] == "ThrottlingException"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        client.close()
        store = DynamoStore(connect(endpoint, quick=True))
        with pytest.raises(Throttled):
            store.get(ENTRIES, KEY)
        store.close()


def test_missing_credentials_or_region_are_explained(monkeypatch, tmp_path):
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_PROFILE",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError, match="credentials; try the environment variables AWS_ACCESS_KEY_ID"):
        connect("http://127.0.0.1:9", quick=True)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(StoreError, match="region"):
        connect("http://127.0.0.1:9", quick=True)


def test_quick_calls_answer_like_boto3s(dynalite_address):
    loopback_credentials()
    ours = DynamoStore(connect(dynalite_address, quick=True), prefix="quick_")
    theirs = DynamoStore(connect(dynalite_address), prefix="quick_")
    ours.create([ENTRIES])
    ours.create([ENTRIES])  # a second time is no error
    item = {**KEY, "b": bytes(range(256)), "w": frozenset({"a", "ä"}), "n": -3, "s": "żółw"}
    ours.put(ENTRIES, item)
    assert ours.get(ENTRIES, KEY) == theirs.get(ENTRIES, KEY) == item
    for store in (ours, theirs):
        with pytest.raises(ConditionFailed):
            store.put(ENTRIES, item, condition=Absent("n"))
        with pytest.raises(Unsupported):
            store._call("update_time_to_live", TableName="quick_" + ENTRIES.name, TimeToLiveSpecification={})
    assert ours.spent.read_units == theirs.spent.read_units == 1
    assert theirs.spent.write_units == 1  # the refusal; ours has put and refusal
    assert ours.spent.write_units == 2
    ours.close()
    theirs.close()


HTML = b"<html><body>502 Bad Gateway</body></html>"


@pytest.mark.parametrize("content", [HTML, b"\xff\xfe", b"[1]", b'"x"', b'{"B": {"B": "A"}}'])
@pytest.mark.parametrize("status", [502, 400, 200])
def test_content_that_is_no_json_object_has_the_status_or_is_no_answer(status, content):
    """boto3's own calls give ClientError with the status for any content, too."""
    expected = ConnectionClosedError if status == 200 else ClientError
    with pytest.raises(expected) as caught:
        answered("GetItem", status, content, endpoint="http://127.0.0.1:4567")
    if status != 200:
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    else:
        assert "http://127.0.0.1:4567" in str(caught.value)


@pytest.mark.parametrize("quick", [True, False])
def test_a_proxys_page_in_place_of_an_answer_is_throttled_and_reads_as_no_vector(quick):
    loopback_credentials()
    head = b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(HTML)
    with served(head + HTML, head + HTML) as (endpoint, _):
        store = DynamoStore(connect(endpoint, quick=quick))
        with pytest.raises(Throttled, match="get_item"):
            store.get(ENTRIES, KEY)
        design = TwoTables(store, KeyRing.generate(), lambda: 1e6, lambda texts: b"", "w")
        assert design.read("i") is None
        store.close()


def test_a_refused_port_is_named_with_what_to_try():
    loopback_credentials()
    for quick in (True, False):
        store = DynamoStore(connect("http://127.0.0.1:9", quick=quick))
        with pytest.raises(Throttled, match=r"no answer from the server.*127.0.0.1:9.*try whether it runs"):
            store.get(ENTRIES, KEY)
        store.close()
