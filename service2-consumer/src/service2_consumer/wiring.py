"""Builds the service from its settings: clients, lanes, health server. It has no behaviour of its own."""

import os
from collections.abc import Callable
from importlib.metadata import version

import botocore.session
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from pillarbox_aws.credentials import SessionCredentials
from pillarbox_aws.object_store import open_store
from pillarbox_aws.session import ca_bundle, endpoint_url
from pillarbox_aws.sqs_client import open_client
from service2_consumer.batching import Batcher, HourlyBatcher, SingleBatcher
from service2_consumer.clock import Clock, PollTiming, StopEvents
from service2_consumer.consumer import Consumer
from service2_consumer.in_flight import InFlightMessages
from service2_consumer.lane import Lane
from service2_consumer.metrics import Metrics
from service2_consumer.object_key import KeyTemplate
from service2_consumer.object_writer import ObjectWriter
from service2_consumer.ports import Archive, Queue
from service2_consumer.record import Recorder
from service2_consumer.s3 import MAX_REQUESTS_PER_PUT, S3Archive
from service2_consumer.settings import SERVICE, Settings
from service2_consumer.sqs import CONNECT_SECONDS, SqsQueue


def build_metrics() -> Metrics:
    """Return the metrics of the service, process_* (CPU, memory, open files; where there is /proc) and python_info."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return Metrics(registry)


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
    settings: Settings, queue: Queue, archive: Archive, metrics: Metrics, on_refusal: Callable[[], None]
) -> Consumer:
    """Return the consumer with its lanes, not started yet."""
    clock, stop_events = Clock(), StopEvents()
    writer = ObjectWriter(archive, metrics, settings.lanes * settings.max_messages_per_poll)
    recorder = build_recorder(settings)
    lanes = [
        Lane(
            queue=queue,
            archive=archive,
            writer=writer,
            recorder=recorder,
            batcher=build_batcher(settings),
            in_flight=InFlightMessages(queue, metrics, settings.visibility_timeout_seconds),
            metrics=metrics,
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
        return SingleBatcher()
    return HourlyBatcher(
        settings.prefix,
        max_messages=settings.batch_max_messages,
        max_bytes=settings.batch_max_bytes,
        max_seconds=settings.batch_max_seconds,
    )
