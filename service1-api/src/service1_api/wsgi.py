"""Composition root of a worker process: settings, then AWS clients, then the application that gunicorn serves."""

import logging
import os

import boto3
from botocore.config import Config
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies
from flask import Flask
from limits import parse
from prometheus_client import CollectorRegistry

from pillarbox import logs
from service1_api import SERVICE
from service1_api.app import create_app
from service1_api.auth import SsmTokenSource, TokenKeeper
from service1_api.exposition import exposition
from service1_api.log_writer import LogWriter, write_in_background
from service1_api.metrics import Metrics
from service1_api.publisher import Publisher
from service1_api.rate_limit import RateLimit, shared_or_memory
from service1_api.server import FLAG
from service1_api.settings import Settings, load_or_exit
from service1_api.sqs import SendsBatches, SqsClient, SqsQueue

log = logging.getLogger(__name__)


def build(settings: Settings, log_writer: LogWriter) -> Flask:
    """Give the application, its token thread started; call it once a process, after the fork."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    session = boto3.Session(region_name=settings.aws_region)
    keeper = TokenKeeper(
        SsmTokenSource(session.client("ssm", config=_client_config(2, 3)), settings.ssm_parameter_name),
        metrics,
        cache_seconds=settings.token_cache_seconds,
        stale_seconds=settings.token_stale_seconds,
    )
    keeper.start()
    app = create_app(
        tokens=keeper,
        publisher=_publisher(settings, session, metrics),
        metrics=metrics,
        exposition=exposition(registry, several_workers="PROMETHEUS_MULTIPROC_DIR" in os.environ),
        draining=FLAG.is_set,
        max_request_bytes=settings.max_request_bytes,
        max_requests_in_flight=settings.max_requests_in_flight,
        rate_limit=_rate_limit(settings, metrics),
        trusted_proxy_hops=settings.trusted_proxy_hops,
        tell=log_writer.tell,
    )
    log.info("started", extra=settings.model_dump(mode="json"))
    return app


def _publisher(settings: Settings, session: boto3.Session, metrics: Metrics) -> Publisher:
    # Two whole attempts fit into the deadline, so that one call that hangs does not cost its e-mails.
    connect_seconds, read_seconds = 0.1 * settings.publish_deadline_seconds, 0.38 * settings.publish_deadline_seconds
    attempt_seconds = connect_seconds + read_seconds
    queue = SqsQueue(
        _sqs_client(session, connect_seconds, read_seconds), settings.sqs_queue_url, attempt_seconds=attempt_seconds
    )
    return Publisher(
        queue,
        metrics,
        deadline_seconds=settings.publish_deadline_seconds,
        attempt_seconds=attempt_seconds,
        max_waiting=settings.max_messages_waiting,
    )


def _sqs_client(session: boto3.Session, connect_seconds: float, read_seconds: float) -> SendsBatches:
    client = session.client("sqs", config=_client_config(connect_seconds, read_seconds))
    endpoint_url = client.meta.endpoint_url
    if get_environ_proxies(endpoint_url):
        return client  # boto3 knows proxies, ours does not
    return SqsClient(
        endpoint_url,
        client.meta.region_name,
        session.get_credentials,
        ca_certs=os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True) or "",
        connect=connect_seconds,
        read=read_seconds,
    )


def _rate_limit(settings: Settings, metrics: Metrics) -> RateLimit | None:
    if settings.rate_limit is None:
        return None
    store = shared_or_memory(settings.rate_limit_storage)
    return RateLimit(parse(settings.rate_limit), store, metrics, trusted_proxy_hops=settings.trusted_proxy_hops)


def _client_config(connect_seconds: float, read_seconds: float) -> Config:
    return Config(
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": 1},  # the callers know their deadlines and try again
        max_pool_connections=8,
        tcp_keepalive=True,
        parameter_validation=False,
        user_agent=f"pillarbox/{SERVICE}",  # else botocore builds the text twice a call
    )


settings = load_or_exit()
logs.configure(SERVICE, settings.log_level)
app = build(settings, write_in_background(SERVICE))
