"""A boto3 client that spends less processor time a call: its class gets a quick way to make its calls.

boto3 takes most of a millisecond of processor time a call, in general layers: events, endpoint rules, shapes,
header objects, connection pools, a user agent put together anew. Under load on few cores that is what bounds
the rate. `quick_client` uses botocore's documented event `creating-client-class` to put `_QuickCalls` first
among the bases of boto3's own client class; credentials with their refreshing, region, endpoint and errors
stay botocore's. A call is then one JSON text, one signature, one write (which also saves the server a read)
and one read, on a connection that each thread keeps.

The signature is AWS Signature Version 4; its key is derived once a day and secret. Tests hold signature,
answers and errors to botocore's.
"""

import base64
import functools
import hashlib
import hmac
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import boto3
import orjson
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
)

_TYPE = "application/x-amz-json-1.0"
_HEAD_LIMIT = 65_536
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+) *\r\n", re.IGNORECASE)


def _encoded(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"cannot send a {type(value).__name__}")


def _decoded(pairs: dict[str, Any]) -> dict[str, Any]:
    """Turn the one typed value that JSON cannot hold, bytes, back; called for every object of an answer."""
    if len(pairs) == 1 and isinstance(pairs.get("B"), str):
        return {"B": base64.b64decode(pairs["B"])}
    return pairs


_decode_bytes = json.JSONDecoder(object_hook=_decoded).decode


def _decode(content: bytes) -> Any:
    """Decode JSON; most answers hold no bytes, and then need no look at each of their objects."""
    return _decode_bytes(content.decode()) if b'"B"' in content else orjson.loads(content or b"{}")


@functools.lru_cache(8)
def _signer(secret: str, day: str, region: str) -> hmac.HMAC:
    """Return a code under a day's key, to copy: `hmac.digest` lets go of the interpreter at each call."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, "dynamodb", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, digestmod="sha256")


def signed(
    headers: Mapping[str, str], body: bytes, *, held: ReadOnlyCredentials, region: str, stamp: str
) -> dict[str, str]:
    """Return the headers of a POST of `body` to the root with those added that sign it.

    headers: lower-case names. stamp: UTC, as 20260102T030405Z.
    """
    found = {**headers, "x-amz-date": stamp}
    if held.token:
        found["x-amz-security-token"] = held.token
    names = sorted(found)
    lines = "".join(f"{name}:{found[name]}\n" for name in names)
    listed, scope = ";".join(names), f"{stamp[:8]}/{region}/dynamodb/aws4_request"
    request = f"POST\n/\n\n{lines}\n{listed}\n{hashlib.sha256(body).hexdigest()}"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    mark = _signer(held.secret_key, stamp[:8], region).copy()
    mark.update(text.encode())
    signature = mark.hexdigest()
    credential = f"{held.access_key}/{scope}"
    found["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={listed}, Signature={signature}"
    )
    return found


@functools.lru_cache(2)
def _stamp(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


def _opened(endpoint: SplitResult, timeout_s: float) -> socket.socket:
    secure = endpoint.scheme == "https"
    host, port = endpoint.hostname or "", endpoint.port or (443 if secure else 80)
    opened = socket.create_connection((host, port), timeout_s)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ssl.create_default_context().wrap_socket(opened, server_hostname=host) if secure else opened


def read_answer(connection: socket.socket) -> tuple[int, bytes, bool]:
    """Read one HTTP answer: status, content, and whether the connection may be used again.

    Raises EOFError when it ends early, ValueError for anything but HTTP/1.1 with a stated length.
    """
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        if not (more := connection.recv(_HEAD_LIMIT)) or len(data) > _HEAD_LIMIT:
            raise EOFError(f"the answer ended within its head, after {len(data)} bytes")
        data += more
    head, content = data[: end + 2], data[end + 4 :]
    if not head.startswith(b"HTTP/1.1 ") or (stated := _LENGTH.search(head)) is None:
        raise ValueError(f"expected an HTTP/1.1 answer with a stated length, got {head[:20]!r}")
    while len(content) < int(stated[1]):
        if not (more := connection.recv(_HEAD_LIMIT)):
            raise EOFError(f"expected {int(stated[1])} bytes of content, got {len(content)}")
        content += more
    return int(head[9:12]), content, b"\r\nconnection: close\r\n" not in head.lower()


class Sender:
    """Signs and sends calls to one endpoint; each thread keeps a connection."""

    def __init__(self, endpoint: str, *, credentials: Credentials, region: str, timeout_s: float) -> None:
        self.endpoint, self._parts = endpoint, urlsplit(endpoint)
        self._credentials, self._region, self._timeout = credentials, region, timeout_s
        self._local, self._lock = threading.local(), threading.Lock()
        self._open: set[socket.socket] = set()

    def message(self, operation: str, body: bytes, second: int) -> bytes:
        """Return the bytes of a call, signed at a time (seconds since 1970)."""
        given = {"content-type": _TYPE, "host": self._parts.netloc}
        given["x-amz-target"] = f"DynamoDB_20120810.{operation}"
        held = self._credentials.get_frozen_credentials()
        headers = signed(given, body, held=held, region=self._region, stamp=_stamp(second))
        lines = [f"{name}: {value}" for name, value in headers.items()]
        lines += ["user-agent: Boto3 echobook", f"content-length: {len(body)}", "", ""]
        return "\r\n".join(["POST / HTTP/1.1", *lines]).encode() + body

    def send(self, operation: str, body: bytes) -> tuple[int, bytes]:
        """Return status and content of the answer.

        Raises botocore's EndpointConnectionError, ReadTimeoutError or ConnectionClosedError; the next call
        then opens a connection anew.
        """
        connection, again = self._connection(), False
        try:
            connection.sendall(self.message(operation, body, int(time.time())))
            status, content, again = read_answer(connection)
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=self.endpoint, error=error) from error
        except (OSError, ValueError, EOFError) as error:
            raise ConnectionClosedError(endpoint_url=self.endpoint, error=error) from error
        finally:
            if not again:
                self._drop(connection)
        return status, content

    def _connection(self) -> socket.socket:
        held: socket.socket | None = getattr(self._local, "connection", None)
        if held is None:
            try:
                held = self._local.connection = _opened(self._parts, self._timeout)
            except OSError as error:
                raise EndpointConnectionError(endpoint_url=self.endpoint, error=error) from error
            with self._lock:
                self._open.add(held)
        return held

    def _drop(self, connection: socket.socket) -> None:
        self._local.connection = None
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def close(self) -> None:
        """Close the connections of all threads; none may be sending."""
        with self._lock:
            held, self._open, self._local = self._open, set(), threading.local()
        for connection in held:
            connection.close()


def answered(operation: str, status: int, content: bytes, *, endpoint: str) -> dict[str, Any]:
    """Return the answer in some content.

    Raises ClientError for a status other than 200, whatever the content is (a proxy answers in HTML), and
    ConnectionClosedError for content that is no JSON object.
    """
    try:
        found = _decode(content)
    except ValueError:
        found = None
    if status != 200:
        raise ClientError(_failure(found if isinstance(found, dict) else {}, status), operation)
    if not isinstance(found, dict):
        error = f"{len(content)} bytes of content are no JSON object"
        raise ConnectionClosedError(endpoint_url=endpoint, error=error)
    return found


class _QuickCalls:
    """First base of a client's class: makes the calls through `sender`."""

    sender: Sender

    def _make_api_call(self, operation_name: str, api_params: Mapping[str, Any]) -> dict[str, Any]:
        status, content = self.sender.send(operation_name, orjson.dumps(api_params, default=_encoded))
        return answered(operation_name, status, content, endpoint=self.sender.endpoint)

    def close(self) -> None:
        self.sender.close()
        super().close()  # type: ignore[misc]


def _failure(answer: Mapping[str, Any], status: int) -> Any:
    """Return an error in the form that botocore parses it to."""
    code = str(answer.get("__type", status)).rsplit("#", 1)[-1]
    message = answer.get("message", answer.get("Message", ""))
    parsed = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    reasons = answer.get("CancellationReasons")
    return {**parsed, "CancellationReasons": reasons if isinstance(reasons, list) else []}


def quick_client(endpoint: str | None, *, region: str | None, timeout_s: float, settings: Config) -> Any:
    """Return boto3's DynamoDB client with quick calls. Raises NoCredentialsError or NoRegionError."""
    session = boto3.Session(region_name=region)
    if (credentials := session.get_credentials()) is None:
        raise NoCredentialsError()
    if session.region_name is None:
        raise NoRegionError()
    session.events.register(
        "creating-client-class.dynamodb", lambda base_classes, **_: base_classes.insert(0, _QuickCalls)
    )
    client = session.client("dynamodb", endpoint_url=endpoint, config=settings)
    client.sender = Sender(
        client.meta.endpoint_url, credentials=credentials, region=session.region_name, timeout_s=timeout_s
    )
    return client
