"""Entry point, `python -m service2_consumer`: starts the service, waits for signals and stops it."""
# ruff: noqa: E402  # signals are blocked before the other imports

import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)

if __name__ == "__main__":
    # Before the other imports, which take half a second: PID 1 would lose a signal that comes meanwhile. The main
    # thread waits for signals; every thread inherits the mask, so no handler can interrupt a lane.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

import logging
import os
import sys
import threading
from importlib.metadata import version

from pillarbox import logs
from pillarbox.settings import EXIT_WRONG_SETTINGS, load_or_exit
from pillarbox_aws.credentials import SessionCredentials
from pillarbox_aws.session import new_session
from service2_consumer import wiring
from service2_consumer.clock import Clock
from service2_consumer.consumer import Consumer
from service2_consumer.depth import watch_depth
from service2_consumer.health import HealthServer
from service2_consumer.metrics import Metrics
from service2_consumer.ports import Queue
from service2_consumer.settings import SERVICE, SQS_CALL_SECONDS, Settings

logger = logging.getLogger("service2_consumer")


def request_stop() -> None:
    """Wake the main thread, which waits for a signal."""
    os.kill(os.getpid(), signal.SIGTERM)


def run(settings: Settings, consumer: Consumer, queue: Queue, metrics: Metrics) -> int:
    """Consume until a signal comes, then stop; return the exit code.

    1: a lane still holds messages; 2: the archive overwrites objects.
    """
    ended = threading.Event()
    threading.Thread(target=watch_depth, args=(queue, metrics, ended), name="depth", daemon=True).start()
    consumer.start()
    reason = signal.Signals(signal.sigwait(SIGNALS)).name
    if consumer.refusal:
        reason = "refused"
        logger.error("refusing to work: %s", consumer.refusal)
    logger.info("stopping: receiving ends, messages in flight are stored or released", extra={"reason": reason})
    consumer.stop()
    if not _joined(consumer, settings.drain_seconds):
        logger.warning("stopping at once: messages not stored yet are released")
        consumer.abandon()
    clean = consumer.join_except_polls(SQS_CALL_SECONDS)
    ended.set()
    logger.info("stopped", extra={"reason": reason, "clean": clean, **metrics.totals()})
    return 2 if consumer.refusal else 0 if clean else 1


def _joined(consumer: Consumer, seconds: float) -> bool:
    """Wait for the lanes; return False if the time is over or a second signal comes."""
    clock = Clock()
    deadline = clock.monotonic() + seconds
    while not consumer.join(0.1):
        if clock.monotonic() >= deadline or signal.sigpending().intersection(SIGNALS):
            return False
    return True


def main() -> int:
    """Run the service with its signals blocked; return the exit code. Exit with 2 if the settings are wrong."""
    settings = load_or_exit(Settings)
    logs.configure(SERVICE, settings.log_level)
    metrics, tracer = wiring.build_metrics(), wiring.build_tracer(settings)
    session = new_session(settings.aws_region)
    credentials = SessionCredentials(session.get_credentials)
    if not credentials.found():
        return _refuse("AWS credentials: none found")
    credentials.start()
    try:
        queue = wiring.build_queue(settings, session, credentials)
        archive = wiring.build_archive(settings, session, credentials)
        intake = wiring.build_intake(settings, session, credentials)
    except OSError as exc:
        return _refuse(f"AWS_CA_BUNDLE: cannot be read: {exc.strerror}")
    consumer = wiring.build_consumer(
        settings,
        queue=queue,
        archive=archive,
        intake=intake,
        metrics=metrics,
        tracer=tracer,
        on_refusal=request_stop,
    )
    try:
        server = HealthServer(settings.bind_host, settings.port, consumer, metrics)
    except OSError as exc:
        return _refuse(f"PORT: cannot listen on {settings.bind_host}:{settings.port}: {exc.strerror}")
    logger.info("starting", extra={"version": version(SERVICE), **settings.model_dump()})
    code = run(settings, consumer, queue, metrics)
    tracer.close()
    server.close()
    return code


def _refuse(text: str) -> int:
    print(text, file=sys.stderr)
    return EXIT_WRONG_SETTINGS


if __name__ == "__main__":
    exit_code = main()
    sys.stderr.flush()
    # Not sys.exit: a daemon thread that is still in a call can crash an interpreter that shuts down.
    os._exit(exit_code)
