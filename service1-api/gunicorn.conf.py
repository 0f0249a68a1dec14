"""gunicorn's settings for a pod behind an ALB, and the drain on SIGTERM."""

import logging
import signal
from typing import TYPE_CHECKING, Any

from pillarbox import logs
from service1_api import SERVICE
from service1_api.drain import FLAG
from service1_api.settings import load_or_exit

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter

_settings = load_or_exit()
logs.configure(SERVICE, _settings.log_level)
_log = logging.getLogger("service1_api.gunicorn")

bind = f"{_settings.bind}:{_settings.port}"
workers = _settings.workers
worker_class = "gthread"
threads = _settings.max_requests_in_flight + 8  # room for /health and the like when every e-mail slot is taken
keepalive = 75  # longer than the ALB's 60 s of idleness: else it sends a request into a connection that just closed
graceful_timeout = 30
worker_tmp_dir = "/dev/shm"  # noqa: S108  # the heartbeat file must not be on a disk that may stall
control_socket_disable = True  # the root file system is read-only


def when_ready(server: "Arbiter") -> None:
    """Let SIGTERM drain first: gunicorn closes its listeners before anything else, and a probe would see no 503."""

    def stop(*_: Any) -> None:
        server.signal(signal.SIGTERM, None)

    def drain(*_: Any) -> None:
        if FLAG.is_set() or not _settings.drain_seconds:
            stop()
            return
        FLAG.set()
        signal.setitimer(signal.ITIMER_REAL, _settings.drain_seconds)

    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGTERM, drain)
