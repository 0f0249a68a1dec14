"""Attacks on a running service that need no token. Each is a function and runs until it is stopped."""

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .server import Api

HEAD = b"POST /api/message HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LARGE = HEAD + b"Content-Length: 1900000\r\n\r\n"

# Heads that parsers may interpret differently, each followed by a body that does not end.
ODD = [
    HEAD + b"Content-Length: 0000000000000000000500\r\n\r\n",
    HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    CHUNKED + b"000000005\r\n",
    CHUNKED + b"5;" + b"a" * 300 + b"\r\n",
    CHUNKED + b"0\r\nA: " + b"a" * 9000,
]


def connect(api: Api) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", api.port), 10)
    connection.settimeout(10)
    return connection


def send(connection: socket.socket, data: bytes) -> bool:
    """Send; return False if the server has closed or no longer reads."""
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True


def spaces(api: Api, stopping: threading.Event) -> None:
    """1: white space that takes a backtracking pattern cubic time."""
    while not stopping.wait(0.05):
        with connect(api) as connection:
            send(connection, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:" + b" " * 4000 + b"\n\r\n\r\n")


def tiny_chunks(api: Api, stopping: threading.Event) -> None:
    """2: bodies of one-byte chunks."""
    piece = b"1\r\na\r\n" * 10_000
    while not stopping.is_set():
        with connect(api) as connection:
            send(connection, CHUNKED)
            while not stopping.is_set() and send(connection, piece):
                continue


def odd_framing(api: Api, stopping: threading.Event) -> None:
    """3: ten requests that some parsers cannot frame, then one byte at a time."""
    with contextlib.ExitStack() as stack:
        connections: list[socket.socket] = []
        while not stopping.wait(0.5):
            for connection in list(connections):
                if not send(connection, b"1"):
                    connections.remove(connection)
            while len(connections) < 10:
                connection = stack.enter_context(connect(api))
                connections.append(connection)
                send(connection, ODD[len(connections) % len(ODD)])


def large_bodies(api: Api, stopping: threading.Event) -> None:
    """4 and 6: refused bodies of 1.9 MB, one after the other."""
    body = b'"' + b"a" * 1_899_998 + b'"'
    while not stopping.is_set():
        with connect(api) as connection:
            if send(connection, LARGE + body):
                with contextlib.suppress(OSError):
                    connection.recv(65536)


def huge_bodies(api: Api, stopping: threading.Event) -> None:
    """4 and 6 with the largest limit: bodies of 16 MB, of text and of many small values, one after the other."""
    bodies = [b'"' + b"a" * 15_999_998 + b'"', b"[" + b"1.5," * 3_999_999 + b"[]]"]
    while not stopping.is_set():
        for body in bodies:
            with connect(api) as connection:
                head = HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
                if send(connection, head + body):
                    with contextlib.suppress(OSError):
                        connection.recv(65536)


def bombs(api: Api, stopping: threading.Event) -> None:
    """Gzip bodies of 16 KB that inflate to 16 MiB of small values."""
    body = gzip.compress(b"[" + b"1.5," * 4_000_000 + b"1.5]", 9)
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    while not stopping.is_set():
        with connect(api) as connection:
            if send(connection, head + body):
                with contextlib.suppress(OSError):
                    connection.recv(65536)


def idle(api: Api, stopping: threading.Event) -> None:
    """6: 150 idle connections, reopened when the server closes them."""
    with contextlib.ExitStack() as stack:
        connections: list[socket.socket] = []
        while not stopping.wait(0.2):
            for connection in list(connections):
                with contextlib.suppress(BlockingIOError, TimeoutError):
                    connection.setblocking(False)
                    if not connection.recv(1024):
                        connections.remove(connection)
                        connection.close()
            while len(connections) < 150 and not stopping.is_set():
                connections.append(stack.enter_context(connect(api)))


def unread_pipelines(api: Api, stopping: threading.Event) -> None:
    """8: ten connections that request a file many times and read nothing."""
    requests = b"GET /docs/docs.js HTTP/1.1\r\nHost: x\r\n\r\n" * 2000
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(connect(api))
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.send(requests)
        stopping.wait()


Attack = Callable[[Api, threading.Event], None]


@contextmanager
def attacked(api: Api, attack: Attack, clients: int) -> Iterator[None]:
    """Run attacking clients until the block ends."""
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            with contextlib.suppress(OSError):  # refused, reset or cut: reconnect
                attack(api, stopping)
            stopping.wait(0.02)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)
