"""Flask without what this API has no use for, and would pay for at every request: sessions, coroutines, host names."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.routing import MapAdapter


class _NoSessions(SessionInterface):
    """One empty session that refuses to be written to, for every request."""

    _nobody = NullSession()

    def open_session(self, app: Flask, request: Request) -> SessionMixin:  # noqa: ARG002  # Flask's signature
        return self._nobody

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Keep nothing; Flask does not call this for a null session."""


class LeanFlask(Flask):
    """A Flask whose views are plain functions and whose routes are the same on every host."""

    session_interface = _NoSessions()

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None)
        self.url_map.merge_slashes = False  # a redirect would need the host

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Give a view or a hook as it is."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Match the path alone."""
        if request is None:
            return None
        return self.url_map.bind("localhost", path_info=request.path, default_method=request.method)
