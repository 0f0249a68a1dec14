"""gunicorn's reading and writing of requests, without what costs much at each one and this service does not need."""

import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from gunicorn.http.body import LengthReader  # type: ignore[import-untyped]
from gunicorn.http.message import Request  # type: ignore[import-untyped]
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]


def freeze(cfg: Any) -> None:
    """Make gunicorn's settings plain attributes: it reads some thirty a request, each by two calls of Python.

    Its properties still win over them. Call it after the fork, when nobody sets anything any more.
    """
    vars(cfg).update({name: setting.get() for name, setting in cfg.settings.items()})


class PlainRequest(Request):  # type: ignore[misc]  # gunicorn's classes are untyped
    """A request whose peer's address is not parsed where no proxy is trusted anyway."""

    def _peer_is_trusted_proxy(self) -> bool:
        return bool(self.cfg.forwarded_allow_ips) and bool(super()._peer_is_trusted_proxy())


class PlainParser(RequestParser):  # type: ignore[misc]  # gunicorn's classes are untyped
    """A parser that drains a body only where something of it may be left on the connection."""

    mesg_class = PlainRequest

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Say whether the last request's body is off the connection; gunicorn's own asks the kernel three times."""
        body = self.mesg and self.mesg.body
        if body and isinstance(body.reader, LengthReader) and not body.reader.length and not body.failed:
            return True
        return bool(super().finish_body(deadline, max_bytes))


class HeadWithBody:
    """A socket for one response whose head leaves with the first bytes of the body: one call of the kernel, not two.

    Call `flush` when the response is complete: it may have no body. Whatever else is done to the socket comes after
    what was written before.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._head: bytes | None = None
        self._head_gone = False

    def sendall(self, data: bytes) -> None:
        """Send, or at the first call keep for the next."""
        if not self._head_gone and self._head is None:
            self._head = data
            return
        head, self._head, self._head_gone = self._head or b"", None, True
        self._sock.sendall(head + data)

    def flush(self) -> None:
        """Send what is kept."""
        if self._head is not None:
            self.sendall(b"")

    def __getattr__(self, name: str) -> Any:
        self.flush()
        return getattr(self._sock, name)


def in_one_send(handle: Callable[[Any, Any], object], req: Any, conn: Any) -> object:
    """Have gunicorn answer a request of a connection through a HeadWithBody; gives what `handle` gives."""
    sock = HeadWithBody(conn.sock)
    keep = handle(req, SimpleNamespace(sock=sock, client=conn.client, server=conn.server))
    sock.flush()
    return keep
