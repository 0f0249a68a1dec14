"""The page of a test: made from the variables of a pipeline, and served in a thread if a browser has to see it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from common.testing.ports import free_port
from common.testing.waiting import answers, eventually
from pillarbox_ops.app import App
from pillarbox_ops.output import Output
from pillarbox_ops.ui.access import Access
from pillarbox_ops.ui.server import Server
from pillarbox_ops.ui.services import Services


def services_of(variables: Mapping[str, str], directory: Path) -> Services:
    """Return the services of the pipeline that variables describe; they are given by a file, as `--env-file` does."""
    path = directory / "page.env"
    path.write_text("".join(f"{name}='{value}'\n" for name, value in variables.items() if name.isidentifier()))
    return Services(App(Output("jsonl"), env_file=path))


@contextmanager
def served(services: Services) -> Iterator[str]:
    """Serve the page and give the address that opens it."""
    server = Server(services, Access(free_port()))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{server.access.port}/ready"), "the page to answer")
        yield server.access.address()
    finally:
        server.close()
        thread.join(30)
