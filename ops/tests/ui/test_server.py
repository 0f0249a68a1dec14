import socket
import urllib.parse
import webbrowser
from pathlib import Path

import pytest

from common.testing.ports import free_port
from common.testing.waiting import ask
from pillarbox_ops.errors import OpsError
from pillarbox_ops.ui.access import Access
from pillarbox_ops.ui.server import Server, opened

from .pages import Page
from .running import served


def test_the_page_is_served_on_loopback_alone(page: Page) -> None:
    with served(page.services) as address:
        port = urllib.parse.urlsplit(address).port
        assert port
        assert ask(port, "/ready") == (200, '{"status":"ready"}\n')
        assert ask(port, "/")[0] == 401
        assert ask(port, address.partition(str(port))[2])[0] == 200
        listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert next(place for place in listening if place.endswith(f":{port:04X}")).startswith("0100007F")


def test_a_port_in_use_is_named(page: Page) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        with pytest.raises(OpsError, match=r"cannot be used .*--port"):
            Server(page.services, Access(taken.getsockname()[1]))


def test_the_address_reaches_the_browser_by_a_private_file(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    monkeypatch.setattr(webbrowser, "open", given.append)
    with opened("http://127.0.0.1:1/login?token=secret"):
        path = Path(urllib.parse.urlsplit(given[0]).path)
        assert "secret" not in given[0]
        assert "url=http://127.0.0.1:1/login?token=secret" in path.read_text()
        assert path.parent.stat().st_mode & 0o077 == 0
    assert not path.exists()
