"""Runs the page: waitress on 127.0.0.1, the thread that reads the figures, and the address that opens it."""

import logging
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

from waitress import wasyncore  # type: ignore[import-untyped]  # it has no types
from waitress.server import create_server  # type: ignore[import-untyped]  # it has no types

from pillarbox_ops.errors import OpsError
from pillarbox_ops.ui.access import Access
from pillarbox_ops.ui.services import Services
from pillarbox_ops.ui.web import create_app

HOST = "127.0.0.1"
_THREADS = 8
_LOOP_SECONDS = 0.2  # `close` waits up to this long


class Server:
    """The page of a pipeline. Raise OpsError if its port is taken."""

    def __init__(self, services: Services, access: Access) -> None:
        self.access = access
        self._services = services
        self._sockets: dict[int, object] = {}
        self._closing = threading.Event()
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a page of many requests is no event
        listener = _bound(access.port)
        self._server = create_server(
            create_app(services, access),
            map=self._sockets,
            sockets=[listener],
            threads=_THREADS,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )

    def run(self) -> None:
        """Serve until `close`."""
        self._services.sampler.start()
        try:
            while not self._closing.is_set():
                wasyncore.loop(timeout=_LOOP_SECONDS, use_poll=True, map=self._sockets, count=1)
        finally:
            self._services.sampler.stop()
            self._server.task_dispatcher.shutdown()
            wasyncore.close_all(self._sockets)

    def close(self) -> None:
        """End `run` soon, from any thread or a handler of signals."""
        self._closing.set()


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as exc:
        listener.close()
        raise OpsError(f"port {port} cannot be used ({exc.strerror}): choose another with --port") from None
    return listener


@contextmanager
def opened(address: str) -> Iterator[None]:
    """Open an address in the browser by a private file: as an argument every user of the machine could read it."""
    with tempfile.TemporaryDirectory(prefix="pillarbox-") as directory:  # readable by its owner only
        path = Path(directory) / "open.html"
        path.write_text(f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(address)}">')
        webbrowser.open(path.as_uri())
        yield
