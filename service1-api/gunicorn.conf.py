"""gunicorn's settings for a pod behind an ALB."""

import gc
import os
import resource
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pillarbox import logs
from pillarbox.settings import load_or_exit
from pillarbox_otel.opening import check_or_exit
from service1_api import SERVICE
from service1_api.settings import Settings

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
    from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

_settings = load_or_exit(Settings)
check_or_exit(os.environ)  # here, because a worker that ends at its start has another exit code
logs.configure(SERVICE, _settings.log_level)

_MEMORY_DIR = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # Linux; elsewhere the default temporary folder
tempfile.tempdir = _MEMORY_DIR  # large bodies are buffered in files; a slow disk would delay every request
_MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "service1-api-metrics-"
_metrics_dir = os.environ.get(_MULTIPROC_DIR)
if _settings.workers > 1 and not (_metrics_dir and Path(_metrics_dir).name.startswith(f"{_PREFIX}{os.getpid()}-")):
    # prometheus_client reads the variable when it is first imported, so it is set before the worker's import below.
    # Each start has its own directory, so that files of an earlier process are not summed; SIGHUP keeps it.
    _metrics_dir = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
    os.environ[_MULTIPROC_DIR] = _metrics_dir

from service1_api.server import JsonLogger, Limits, WaitressWorker, drain_before_stop  # noqa: E402


class _Worker(WaitressWorker):
    trusted_proxy_hops = _settings.trusted_proxy_hops
    limits = Limits(
        head_seconds=_settings.request_head_seconds,
        body_seconds=_settings.request_body_seconds,
        keepalive_seconds=75,  # longer than the ALB's 60 s, or the ALB could send into a closed connection
        max_body_bytes=_settings.max_request_bytes,
        max_held_bytes=_settings.max_body_bytes_in_flight,
        max_connections=1000,
    )


bind = f"{_settings.bind_host}:{_settings.port}"
workers = _settings.workers
worker_class = _Worker
threads = _settings.threads
graceful_timeout = 30
timeout = 60  # a worker whose main loop makes no progress for this time is replaced
worker_tmp_dir = _MEMORY_DIR  # the heartbeat file must not be on a disk that may stall
control_socket_disable = True  # the root file system is read-only
logger_class = JsonLogger
loglevel = _settings.log_level.lower()


def on_starting(_server: "Arbiter") -> None:
    """Raise the soft limit of open files, often 1,024, to what the connections of a worker need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * _Worker.limits.max_connections
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


def when_ready(server: "Arbiter") -> None:
    """Drain first on SIGTERM and SIGINT."""
    drain_before_stop(server, _settings.drain_seconds)
    gc.freeze()


def post_worker_init(_worker: "Worker") -> None:
    """Ignore Ctrl-C, which a terminal sends to the workers too: the arbiter handles it and drains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # what is loaded now stays: collections, and the last ones at exit (0.3 s), need not look through it


def child_exit(_server: "Arbiter", worker: "Worker") -> None:
    """Remove a dead worker's gauges from the metrics; its counters stay in the sum."""
    if _metrics_dir:
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415  # not before the variable is set

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: "Arbiter") -> None:
    """Delete the metrics directory."""
    if _metrics_dir:
        shutil.rmtree(_metrics_dir, ignore_errors=True)
