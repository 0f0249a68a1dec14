"""Composition root: settings, clients, lanes, health server, signals. Started as `python -m service2_consumer`."""
# ruff: noqa: E402  # signals are blocked before the other imports

import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)

if __name__ == "__main__":
    # Before the imports, which take half a second: a signal must not get lost meanwhile, as it would for PID 1. Signals
    # are waited for rather than handled, and every thread inherits the mask: no handler can break a lane off.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

import logging
import os
import sys
import threading
from importlib.metadata import version

import botocore.session
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from pillarbox import logs
from pillarbox_aws.credentials import SessionCredentials
from pillarbox_aws.session import ca_bundle, endpoint_url, new_session
from pillarbox_aws.sqs_client import open_client
from service2_consumer import allocator
from service2_consumer.backoff import SystemClock
from service2_consumer.consumer import Lane
from service2_consumer.health import HealthServer
from service2_consumer.holding import Holding
from service2_consumer.lanes import Consumer
from service2_consumer.layouts import BatchPerHour, Layout, NewObject, ObjectPerMessage
from service2_consumer.metrics import Metrics, collect_process
from service2_consumer.pace import Pace, Stopping
from service2_consumer.pool import Pool
from service2_consumer.ports import Archive, Queue, QueueError, RefusedObjectError, Result, StoreError
from service2_consumer.record import KeyTemplate, Recorder
from service2_consumer.s3 import open_archive
from service2_consumer.settings import SQS_CALL_SECONDS, Settings, explain
from service2_consumer.sqs import CONNECT_SECONDS, SqsQueue

SERVICE = "service2-consumer"
DEPTH_SECONDS = 30  # how often the queue is asked for its depth

logger = logging.getLogger("service2_consumer")


def build_layout(settings: Settings) -> Layout:
    """Make one lane's layout."""
    if settings.object_layout == "message":
        return ObjectPerMessage()
    return BatchPerHour(
        settings.prefix,
        max_messages=settings.batch_max_messages,
        max_bytes=settings.batch_max_bytes,
        max_seconds=settings.batch_max_seconds,
    )


def build_queue(settings: Settings, session: botocore.session.Session, credentials: SessionCredentials) -> Queue:
    """Open the queue, with a connection for each lane and for the depth. Raises OSError for the CA bundle."""
    client = open_client(
        session,
        credentials,
        settings.queue_url,
        environ=os.environ,
        user_agent=f"pillarbox/{SERVICE}",
        connections=settings.lanes + 1,
        connect_seconds=CONNECT_SECONDS,
    )
    return SqsQueue(
        client,
        settings.queue_url,
        batch=settings.max_messages_per_poll,
        visibility_seconds=settings.visibility_timeout_seconds,
    )


def build_archive(settings: Settings, session: botocore.session.Session, credentials: SessionCredentials) -> Archive:
    """Open the bucket. Raises OSError if the CA bundle cannot be read."""
    encryption = {"server_side_encryption": settings.sse, "sse_kms_key_id": settings.kms_key_id}
    return open_archive(
        credentials.for_obstore,
        settings.bucket,
        region=settings.region,
        endpoint_url=endpoint_url(session, "s3", os.environ),
        deadline_seconds=settings.store_deadline_seconds,
        encryption={name: value for name, value in encryption.items() if value},
        ca_bundle=ca_bundle(session),
        allow_overwrite=settings.allow_overwrite,
    )


def build_consumer(settings: Settings, queue: Queue, archive: Archive, metrics: Metrics) -> Consumer:
    """Put the lanes together."""
    clock, stopping = SystemClock(), Stopping()

    def store(item: NewObject) -> Result:
        try:
            with metrics.store_seconds.time():
                return archive.put(item)
        except (StoreError, RefusedObjectError) as exc:
            return exc

    validates = settings.message_validation == "email"
    recorder = Recorder(
        KeyTemplate(settings.key_template, settings.prefix),
        version(SERVICE),
        validates=validates,
        raw=not validates and settings.object_layout == "message",  # JSON lines hold documents only
    )
    pool: Pool[NewObject, Result] = Pool(store, settings.lanes * settings.max_messages_per_poll)
    lanes = [
        Lane(
            queue=queue,
            archive=archive,
            pool=pool,
            recorder=recorder,
            layout=build_layout(settings),
            holding=Holding(queue, metrics, settings.visibility_timeout_seconds),
            metrics=metrics,
            pace=Pace(settings.long_poll_seconds, settings.poll_interval_seconds, tries_alone=settings.store_tries),
            stopping=stopping,
            clock=clock,
        )
        for _ in range(settings.lanes)
    ]
    consumer = Consumer(lanes, stopping, clock, liveness_seconds=settings.liveness_seconds, when_refused=ask_to_stop)
    metrics.lanes_alive.set_function(consumer.lanes_alive)
    return consumer


def ask_to_stop() -> None:
    """Wake the thread that waits for a signal."""
    os.kill(os.getpid(), signal.SIGTERM)


def watch_depth(queue: Queue, metrics: Metrics, ended: threading.Event) -> None:
    """Refresh the metric of the queue's depth until ended; a failure is the lanes' to report."""
    while True:
        try:
            for state, count in queue.depth().items():
                metrics.queue_messages.labels(state).set(count)
        except QueueError as exc:
            logger.debug("the queue's depth is not known", extra={"cause": exc.cause})
        except Exception:  # top of the thread: whatever fails now may work the next time
            logger.exception("the queue's depth could not be read")
        if ended.wait(DEPTH_SECONDS):
            return


def run(settings: Settings, consumer: Consumer, queue: Queue, metrics: Metrics) -> int:
    """Consume until a signal comes, then drain; give the exit code.

    1: a lane had to be left behind; 2: the archive does not write once.
    """
    ended = threading.Event()
    threading.Thread(target=watch_depth, args=(queue, metrics, ended), name="depth", daemon=True).start()
    consumer.start()
    reason = signal.Signals(signal.sigwait(SIGNALS)).name
    if consumer.refusal:
        reason = "refused"
        logger.error("refusing to work: %s", consumer.refusal)
    logger.info("stopping: no more is received, what is held is stored or released", extra={"reason": reason})
    consumer.stop()
    if not _joined(consumer, settings.drain_seconds):
        logger.warning("stopping at once: what is not stored is released")
        consumer.give_up()
    clean = consumer.join_but_polls(SQS_CALL_SECONDS)
    ended.set()
    logger.info("stopped", extra={"reason": reason, "clean": clean, **metrics.totals()})
    return 2 if consumer.refusal else 0 if clean else 1


def _joined(consumer: Consumer, seconds: float) -> bool:
    """Wait for the lanes; stop waiting when the time is over or a second signal comes."""
    clock = SystemClock()
    deadline = clock.monotonic() + seconds
    while not consumer.join(0.1):
        if clock.monotonic() >= deadline or signal.sigpending().intersection(SIGNALS):
            return False
    return True


def main() -> int:
    """Run the service, its signals blocked; give the exit code: 2 if the settings are wrong."""
    try:
        settings = Settings()
    except ValidationError as exc:
        print(*explain(exc), sep="\n", file=sys.stderr)
        return 2
    allocator.keep_small()
    logs.configure(SERVICE, settings.log_level)
    metrics = Metrics(CollectorRegistry())
    collect_process(metrics.registry)
    session = new_session(settings.region)
    credentials = SessionCredentials(session.get_credentials)
    if not credentials.found():
        print("AWS credentials: none found", file=sys.stderr)
        return 2
    credentials.start()
    try:
        queue, archive = build_queue(settings, session, credentials), build_archive(settings, session, credentials)
    except OSError as exc:
        print(f"AWS_CA_BUNDLE: cannot be read: {exc.strerror}", file=sys.stderr)
        return 2
    consumer = build_consumer(settings, queue, archive, metrics)
    try:
        server = HealthServer(settings.bind_host, settings.port, consumer, metrics)
    except OSError as exc:
        print(f"PORT: {settings.port} on {settings.bind_host} cannot be had: {exc.strerror}", file=sys.stderr)
        return 2
    logger.info("starting", extra={"version": version(SERVICE), **settings.model_dump()})
    code = run(settings, consumer, queue, metrics)
    server.close()
    return code


if __name__ == "__main__":
    exit_code = main()
    sys.stderr.flush()
    os._exit(exit_code)  # daemon threads may still be inside a call that an interpreter on its way down would crash
