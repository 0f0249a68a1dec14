"""Builds the service from its settings: clients, lanes, health server. It has no behaviour of its own."""

import os
from collections.abc import Callable
from importlib.metadata import version

import botocore.config
import botocore.session
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from pillarbox.object_key import RESERVED_PREFIXES, KeyTemplate
from pillarbox.tracing import Tracer
from pillarbox_aws.credentials import SessionCredentials
from pillarbox_aws.object_store import open_store
from pillarbox_aws.session import ca_bundle, endpoint_url
from pillarbox_aws.sqs_client import open_client
from pillarbox_otel.opening import check_or_exit, open_tracer
from service2_consumer.batching import Batcher, HourlyBatcher, SingleBatcher
from service2_consumer.clock import Clock, PollTiming, StopEvents
from service2_consumer.consumer import Consumer
from service2_consumer.in_flight import InFlightMessages
from service2_consumer.intake.files import INBOX_PROBE_KEY, FileIntake, Inbox
from service2_consumer.intake.message_filter import MessageFilter
from service2_consumer.intake.messages import MessageIntake, PayloadStore
from service2_consumer.lane import Lane
from service2_consumer.metrics import Metrics
from service2_consumer.ports import Archive, Intake, Queue
from service2_consumer.read_budget import ReadBudget
from service2_consumer.record import Recorder
from service2_consumer.s3 import MAX_REQUESTS_PER_PUT, S3Archive
from service2_consumer.s3_source import S3Source
from service2_consumer.settings import SERVICE, Settings
from service2_consumer.sqs import CONNECT_SECONDS, SqsQueue
from service2_consumer.transfer_threads import TransferThreads


def build_metrics() -> Metrics:
    """Return the metrics of the service, process_* (CPU, memory, open files; only with /proc) and python_info."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return Metrics(registry)


def build_tracer(settings: Settings) -> Tracer:
    """Return the tracer that the OTEL_* variables ask for. If that is impossible, explain why and exit with code 2."""
    check_or_exit(os.environ)
    return open_tracer(
        SERVICE, version(SERVICE), queue_url=settings.sqs_queue_url, bucket=settings.bucket, environ=os.environ
    )


def build_queue(settings: Settings, session: botocore.session.Session, credentials: SessionCredentials) -> Queue:
    """Return the queue, with one connection for each lane and one for the depth. Raise OSError for the CA bundle."""
    client = open_client(
        session,
        credentials,
        settings.sqs_queue_url,
        environ=os.environ,
        user_agent=f"pillarbox/{SERVICE}",
        connections=settings.lanes + 1,
        connect_seconds=CONNECT_SECONDS,
    )
    return SqsQueue(
        client,
        settings.sqs_queue_url,
        batch=settings.max_messages_per_poll,
        visibility_seconds=settings.visibility_timeout_seconds,
        attributes=MessageFilter(settings.message_filter).attribute_names,
    )


def build_archive(settings: Settings, session: botocore.session.Session, credentials: SessionCredentials) -> Archive:
    """Return the archive. Raise OSError if the CA bundle cannot be read."""
    encryption = {"server_side_encryption": settings.sse, "sse_kms_key_id": settings.kms_key_id}
    store = open_store(
        credentials.for_obstore,
        settings.bucket,
        region=settings.aws_region,
        endpoint_url=endpoint_url(session, "s3", os.environ),
        request_seconds=settings.store_deadline_seconds / MAX_REQUESTS_PER_PUT,
        user_agent="pillarbox-consumer",
        encryption={name: value for name, value in encryption.items() if value},
        ca_bundle=ca_bundle(session),
    )
    return S3Archive(store, allow_overwrite=settings.allow_overwrite)


def build_consumer(
    settings: Settings,
    *,
    queue: Queue,
    archive: Archive,
    intake: Intake,
    metrics: Metrics,
    tracer: Tracer,
    on_refusal: Callable[[], None],
) -> Consumer:
    """Return the consumer with its lanes, not started yet."""
    clock, stop_events = Clock(), StopEvents()
    threads = TransferThreads(archive, metrics, settings.lanes * settings.max_messages_per_poll, tracer)
    budget = ReadBudget(settings.read_budget_bytes)
    lanes = [
        Lane(
            queue=queue,
            archive=archive,
            threads=threads,
            budget=budget,
            intake=intake,
            batcher=build_batcher(settings),
            in_flight=InFlightMessages(queue, metrics, settings.visibility_timeout_seconds),
            metrics=metrics,
            tracer=tracer,
            timing=PollTiming(
                settings.long_poll_seconds, settings.poll_interval_seconds, max_retries_alone=settings.store_tries
            ),
            stop_events=stop_events,
            clock=clock,
        )
        for _ in range(settings.lanes)
    ]
    consumer = Consumer(lanes, stop_events, clock, liveness_seconds=settings.liveness_seconds, on_refusal=on_refusal)
    metrics.lanes_alive.set_function(consumer.lanes_alive)
    return consumer


def build_intake(settings: Settings, session: botocore.session.Session, credentials: SessionCredentials) -> Intake:
    """Return the intake that all lanes share. Raise OSError if the CA bundle cannot be read."""
    recorder = build_recorder(settings)
    if settings.intake == "files":
        source = build_source(settings, session, credentials, settings.inbox_bucket_name, INBOX_PROBE_KEY)
        shares_bucket = settings.inbox_bucket_name == settings.bucket
        own_prefixes = (settings.prefix, *RESERVED_PREFIXES) if shares_bucket else ()
        inbox = Inbox(
            settings.inbox_bucket_name, own_prefixes, settings.max_file_bytes, on_missing=settings.on_missing_object
        )
        return FileIntake(recorder, source, inbox)
    payloads = None
    if settings.payload_bucket:
        probe_key = f"{settings.payload_prefix}health"
        source = build_source(settings, session, credentials, settings.payload_bucket, probe_key)
        payloads = PayloadStore(source, settings.payload_bucket, settings.payload_prefix)
    return MessageIntake(
        recorder,
        MessageFilter(settings.message_filter),
        on_filtered=settings.on_filtered_message,
        payloads=payloads,
        max_payload_bytes=settings.max_file_bytes,
    )


def build_source(
    settings: Settings, session: botocore.session.Session, credentials: SessionCredentials, bucket: str, probe_key: str
) -> S3Source:
    """Return a bucket to read from. Raise OSError if the CA bundle cannot be read."""
    store = open_store(
        credentials.for_obstore,
        bucket,
        region=settings.aws_region,
        endpoint_url=endpoint_url(session, "s3", os.environ),
        request_seconds=settings.store_deadline_seconds,
        user_agent=f"pillarbox/{SERVICE}",
        encryption={},
        ca_bundle=ca_bundle(session),
    )
    config = botocore.config.Config(
        connect_timeout=CONNECT_SECONDS, read_timeout=settings.store_deadline_seconds, retries={"total_max_attempts": 1}
    )
    return S3Source(store, bucket, lambda: session.create_client("s3", config=config), probe_key=probe_key)


def build_recorder(settings: Settings) -> Recorder:
    """Return the recorder that all lanes share."""
    validates = settings.message_validation == "email"
    return Recorder(
        KeyTemplate(settings.key_template, settings.prefix),
        version(SERVICE),
        validates=validates,
        raw=not validates and settings.object_layout == "message",  # a line of JSON lines must be a document
    )


def build_batcher(settings: Settings) -> Batcher:
    """Return a new batcher: each lane needs its own."""
    if settings.object_layout == "message":
        return SingleBatcher(compresses=settings.object_compression == "gzip")
    return HourlyBatcher(
        settings.prefix,
        max_messages=settings.batch_max_messages,
        max_bytes=settings.batch_max_bytes,
        max_seconds=settings.batch_max_seconds,
    )
