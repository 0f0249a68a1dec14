"""Sends one HTTP request and reads a JSON answer; it can connect to a load balancer that DNS does not name yet."""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and `Location` of an answer; the body is None if it is not JSON, `location` is empty if missing."""

    status: int
    body: Any
    location: str = ""

    def code(self) -> str:
        """Return the `code` of a problem+json answer, or an empty text."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""


def request(
    url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, *, connect_to: str = ""
) -> Answer:
    """POST the body, or GET without one. Raise OSError or http.client.HTTPException if no answer comes.

    `connect_to` replaces the host of the URL for the connection: the load balancer, before DNS points to it.
    """
    parts = urlsplit(url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port, connect_to)
    sent = {"Content-Type": "application/json", "Connection": "close", **(headers or {})}
    try:
        connection.request("GET" if body is None else "POST", parts.path or "/", body, sent)
        response = connection.getresponse()
        return Answer(response.status, _json(response.read()), response.headers.get("Location", ""))
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None, connect_to: str) -> http.client.HTTPConnection:
    secure = scheme == "https"
    number = port or (443 if secure else 80)
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(host, number, timeout=TIMEOUT_SECONDS)
    if connect_to:
        plain = socket.create_connection((connect_to, number), TIMEOUT_SECONDS)
        # The certificate must be valid for the host of the URL.
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
    return connection


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
