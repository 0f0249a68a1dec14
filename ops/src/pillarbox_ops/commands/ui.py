"""`pillarbox ui`: the page on 127.0.0.1."""

from __future__ import annotations

import signal
from contextlib import nullcontext

import click

from pillarbox_ops.app import App
from pillarbox_ops.options import with_app


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8025, show_default=True, help="Port of 127.0.0.1.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@with_app
def ui(app: App, port: int, *, opens: bool) -> None:
    """Serve a web page to inspect and repair the pipeline, for this machine only.

    It works with your own credentials, so the address that is printed contains a secret; a browser needs it once.
    Ctrl-C ends it.
    """
    from pillarbox_ops.ui.access import Access  # noqa: PLC0415  Flask is slow to import
    from pillarbox_ops.ui.server import Server, opened  # noqa: PLC0415
    from pillarbox_ops.ui.services import Services  # noqa: PLC0415

    access = Access(port, app.ui_token) if app.ui_token else Access(port)
    server = Server(Services(app), access)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.close())
    if not app.ui_token:  # whoever set it knows the address, and this output may be a log
        app.output.note(f"Open {access.address()}\nCtrl-C ends it.")
    with opened(access.address()) if opens else nullcontext():
        server.run()
