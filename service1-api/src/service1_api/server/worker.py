"""The gunicorn worker: gunicorn forks, signals and listens; waitress reads requests and writes responses."""

import os
import time
from functools import partial
from typing import Any

from gunicorn.workers.base import Worker  # type: ignore[import-untyped]
from waitress.server import create_server  # type: ignore[import-untyped]
from waitress.wasyncore import dispatcher, loop  # type: ignore[import-untyped]

from service1_api.server.channel import Channel
from service1_api.server.connections import Connections, Limits
from service1_api.server.head import MAX_HEAD_BYTES
from service1_api.server.reports import quiet_waitress, report_to

_TURN_SECONDS = 0.5  # the longest sleep of the loop, and the precision of deadlines
_ACCEPTS_A_TURN = 32  # waitress accepts one per turn, and a turn checks every connection: many clients would wait long


class WaitressWorker(Worker):  # type: ignore[misc]  # gunicorn's classes are untyped
    """Serves the application with waitress. A subclass sets the limits."""

    limits: Limits
    trusted_proxy_hops = 0
    _server: Any = None

    def run(self) -> None:
        """Serve until the arbiter sends a stop or has died; then answer the accepted requests and return."""
        quiet_waitress()
        self._connections = Connections(self.limits, report_to(self.wsgi, self.trusted_proxy_hops))
        self._sockets: dict[int, Any] = {}
        self._server = create_server(
            self.wsgi,
            map=self._sockets,
            sockets=[self.sockets[0].sock],
            threads=self.cfg.threads,
            backlog=self.cfg.backlog,
            connection_limit=2 * self.limits.max_connections,  # never reached: connections are evicted before
            max_request_header_size=MAX_HEAD_BYTES,
            inbuf_overflow=256 * 1024,  # larger bodies go to a file in memory, freed as a whole when it is closed
            asyncore_use_poll=True,
            channel_timeout=86_400,  # never: Channel.expire has the deadlines, and answers what exceeds them
            ident="",
            clear_untrusted_proxy_headers=False,
        )
        self._server.channel_class = partial(Channel, connections=self._connections)
        self._accept_one, self._server.handle_accept = self._server.handle_accept, self._accept
        while self.alive and os.getppid() == self.ppid:
            self._turn()
        self._stop()

    def handle_exit(self, sig: int, frame: object) -> None:
        """Stop soon; called by SIGTERM."""
        super().handle_exit(sig, frame)
        if self._server:
            self._server.pull_trigger()

    def _turn(self) -> None:
        loop(_TURN_SECONDS, use_poll=True, map=self._sockets, count=1)
        if self._connections.expire():
            self.notify()

    def _accept(self) -> bool:
        for _ in range(_ACCEPTS_A_TURN):
            accepted = self._connections.accepted
            self._accept_one()
            if accepted == self._connections.accepted:
                return False
        return True

    def _stop(self) -> None:
        while self._accept():  # answer clients that have connected already
            continue
        dispatcher.close(self._server)
        self._connections.stop(at_once=os.getppid() != self.ppid)
        ends_at = time.monotonic() + self.cfg.graceful_timeout
        while self._connections.open and time.monotonic() < ends_at:
            self._turn()
