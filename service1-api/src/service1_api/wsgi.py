"""Composition root of a worker process: settings, AWS clients, and the application that gunicorn serves."""

import logging
import os

import boto3
import botocore.session
from botocore.config import Config
from flask import Flask
from limits import parse
from prometheus_client import CollectorRegistry

from pillarbox import logs
from pillarbox.settings import load_or_exit
from pillarbox_aws.credentials import SessionCredentials
from pillarbox_aws.session import new_session
from pillarbox_aws.sqs_client import open_client
from service1_api import SERVICE
from service1_api.app import create_app
from service1_api.metrics import Metrics, metrics_registry
from service1_api.publisher import Publisher
from service1_api.rate_limit import RateLimit, shared_or_memory
from service1_api.server import FLAG
from service1_api.settings import Settings
from service1_api.sqs import SqsQueue
from service1_api.ssm import SsmTokenSource
from service1_api.tokens import TokenCache

_SQS_CONNECTIONS = 8
_SSM_CONFIG = Config(
    connect_timeout=2,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 1},  # the token cache tries again
)

log = logging.getLogger(__name__)


def build(settings: Settings) -> Flask:
    """Return the application and start its token and credential threads. Call it once per process, after the fork."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    session = new_session(settings.aws_region)
    credentials = SessionCredentials(session.get_credentials)
    credentials.start()
    boto3_session = boto3.Session(botocore_session=session)
    tokens = TokenCache(
        SsmTokenSource(lambda: boto3_session.client("ssm", config=_SSM_CONFIG), settings.ssm_parameter_name),
        metrics,
        cache_seconds=settings.token_cache_seconds,
        stale_seconds=settings.token_stale_seconds,
    )
    tokens.start()
    tokens.wait_for_first_read()  # else the first requests get 503, though other workers are ready
    app = create_app(
        tokens=tokens,
        publisher=_publisher(settings, session, credentials, metrics),
        metrics=metrics,
        metrics_registry=metrics_registry(registry, several_workers="PROMETHEUS_MULTIPROC_DIR" in os.environ),
        draining=FLAG.is_set,
        max_request_bytes=settings.max_request_bytes,
        max_requests_in_flight=settings.max_requests_in_flight,
        rate_limit=_rate_limit(settings, metrics),
        trusted_proxy_hops=settings.trusted_proxy_hops,
    )
    log.info("started", extra=settings.model_dump(mode="json"))
    return app


def _publisher(
    settings: Settings, session: botocore.session.Session, credentials: SessionCredentials, metrics: Metrics
) -> Publisher:
    # Two full attempts fit into the deadline: a single call that hangs does not fail its e-mails.
    connect_seconds, read_seconds = 0.1 * settings.publish_deadline_seconds, 0.38 * settings.publish_deadline_seconds
    attempt_seconds = connect_seconds + read_seconds
    client = open_client(
        session,
        credentials,
        settings.sqs_queue_url,
        environ=os.environ,
        user_agent=f"pillarbox/{SERVICE}",
        connections=_SQS_CONNECTIONS,
        connect_seconds=connect_seconds,
    )
    return Publisher(
        SqsQueue(client, settings.sqs_queue_url, read_seconds=read_seconds, attempt_seconds=attempt_seconds),
        metrics,
        deadline_seconds=settings.publish_deadline_seconds,
        attempt_seconds=attempt_seconds,
        max_waiting=settings.max_messages_waiting,
    )


def _rate_limit(settings: Settings, metrics: Metrics) -> RateLimit | None:
    if settings.rate_limit is None:
        return None
    store = shared_or_memory(settings.rate_limit_storage)
    return RateLimit(parse(settings.rate_limit), store, metrics, trusted_proxy_hops=settings.trusted_proxy_hops)


settings = load_or_exit(Settings)
logs.configure(SERVICE, settings.log_level)
logs.buffer(SERVICE)
app = build(settings)
