"""gunicorn's settings for a pod behind an ALB, and the drain on SIGTERM."""

import os
import resource
import shutil
import signal
import socket
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pillarbox import logs
from service1_api import SERVICE
from service1_api.settings import load_or_exit

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
    from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

_settings = load_or_exit()
logs.configure(SERVICE, _settings.log_level)

_MEMORY_DIR = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # Linux; elsewhere the usual temporary folder
_MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"
_metrics_dir = None
if _settings.workers > 1:
    # prometheus_client reads the variable when it is first imported, so this comes before the worker's import below.
    # A directory of its own for each start: no file of an earlier process is added up.
    _metrics_dir = tempfile.mkdtemp(prefix="service1-api-metrics-", dir=_MEMORY_DIR)
    os.environ[_MULTIPROC_DIR] = _metrics_dir

from service1_api.connection import Limits  # noqa: E402
from service1_api.drain import FLAG  # noqa: E402
from service1_api.gunicorn_log import JsonLogger  # noqa: E402
from service1_api.wire import freeze  # noqa: E402
from service1_api.worker import BufferingWorker  # noqa: E402

_STALL_SECONDS = 5  # a thread waits no longer than this for a client that neither sends nor reads


class _Worker(BufferingWorker):
    limits = Limits(
        head_seconds=_settings.request_head_seconds,
        body_seconds=_settings.request_body_seconds,
        max_body_bytes=_settings.max_request_bytes,
        max_held_bytes=_settings.max_body_bytes_in_flight,
    )


bind = f"{_settings.bind_host}:{_settings.port}"
workers = _settings.workers
worker_class = _Worker
threads = _settings.max_requests_in_flight + 8  # room for /health and the like when every e-mail slot is taken
worker_connections = 1000
keepalive = 75  # longer than the ALB's 60 s of idleness: else it sends a request into a connection that just closed
graceful_timeout = 30
timeout = 60  # a worker whose main thread has not turned for so long is replaced
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
worker_tmp_dir = _MEMORY_DIR  # the heartbeat file must not be on a disk that may stall
control_socket_disable = True  # the root file system is read-only
forwarded_allow_ips = ""  # nothing here depends on the scheme that a proxy claims
logger_class = JsonLogger
loglevel = _settings.log_level.lower()


def on_starting(_server: "Arbiter") -> None:
    """Allow as many files as the worker takes connections: the soft limit is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * worker_connections
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


def when_ready(server: "Arbiter") -> None:
    """Bound what threads wait for clients, and let SIGTERM and SIGINT drain first.

    gunicorn closes its listeners before anything else when it stops, so that no probe could see /ready turn 503.
    """
    stall = struct.pack("ll", _STALL_SECONDS, 0)
    for listener in server.LISTENERS:  # what they accept inherits it
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, stall)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, stall)

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
    signal.signal(signal.SIGINT, drain)


def post_fork(_server: "Arbiter", worker: "Worker") -> None:
    """Read the settings once a worker, not many times a request."""
    freeze(worker.cfg)


def post_worker_init(_worker: "Worker") -> None:
    """Leave Ctrl-C, which a terminal sends to the workers too, to the arbiter: it drains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def child_exit(_server: "Arbiter", worker: "Worker") -> None:
    """Take a dead worker's gauges out of the metrics; its counters stay, for they only grow."""
    if _metrics_dir:
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415  # not before the variable is set

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: "Arbiter") -> None:
    """Leave no metrics directory behind."""
    if _metrics_dir:
        shutil.rmtree(_metrics_dir, ignore_errors=True)
