"""Runs the page: waitress on 127.0.0.1, the thread that reads the figures, and the address that opens it."""

import logging
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

from waitress.server import create_server  # type: ignore[import-untyped]  # it has no types

from pillarbox_ops.errors import OpsError
from pillarbox_ops.ui.access import Access
from pillarbox_ops.ui.services import Services
from pillarbox_ops.ui.web import create_app

HOST = "127.0.0.1"
_THREADS = 8


class Server:
    """The page of a pipeline. Raise OpsError if its port is taken."""

    def __init__(self, services: Services, access: Access) -> None:
        self.access = access
        self._services = services
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a page of many requests is no event
        try:
            self._server = create_server(
                create_app(services, access),
                host=HOST,
                port=access.port,
                threads=_THREADS,
                ident=None,
                clear_untrusted_proxy_headers=True,
            )
        except OSError as exc:
            raise OpsError(f"port {access.port} cannot be used ({exc.strerror}): choose another with --port") from None

    def run(self) -> None:
        """Serve until `close` or an interrupt."""
        self._services.sampler.start()
        try:
            self._server.run()
        finally:
            self._services.sampler.stop()

    def close(self) -> None:
        """End `run`, from any thread."""
        self._server.close()


@contextmanager
def opened(address: str) -> Iterator[None]:
    """Open an address in the browser by a private file: as an argument every user of the machine could read it."""
    with tempfile.TemporaryDirectory(prefix="pillarbox-") as directory:  # readable by its owner only
        path = Path(directory) / "open.html"
        path.write_text(f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(address)}">')
        webbrowser.open(path.as_uri())
        yield
