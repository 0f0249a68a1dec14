"""Composition root of a worker process: settings, AWS clients, and the application that gunicorn serves."""

import atexit
import logging
import os
from importlib.metadata import version
from typing import TYPE_CHECKING, cast

import botocore.session
from botocore.config import Config
from flask import Flask
from prometheus_client import CollectorRegistry

from pillarbox import logs
from pillarbox.object_key import KeyTemplate
from pillarbox.settings import load_or_exit
from pillarbox.tracing import Tracer
from pillarbox_aws.credentials import SessionCredentials
from pillarbox_aws.object_store import open_store
from pillarbox_aws.session import ca_bundle, endpoint_url, new_session
from pillarbox_aws.sqs_client import open_client
from pillarbox_otel.opening import check_or_exit, open_tracer
from service1_api import SERVICE
from service1_api.app import create_app
from service1_api.aws import S3Archive, S3Payloads, SqsQueue, SsmTokenSource
from service1_api.messages import PublishesMessages
from service1_api.metrics import Metrics, metrics_registry
from service1_api.payloads import ClaimCheck, PayloadPlace
from service1_api.publisher import Publisher
from service1_api.server import FLAG
from service1_api.settings import STATUS_REQUESTS, Settings
from service1_api.status import NOT_SET, StatusSource
from service1_api.tokens import TokenCache

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

    from service1_api.rate_limit import RateLimit

_SQS_CONNECTIONS = 8
# Of the publish deadline. Two attempts at SQS fit into it (a single call that hangs does not fail its e-mails); for a
# large e-mail two attempts at S3 and one at SQS.
_SQS_CONNECT_SHARE, _SQS_READ_SHARE, _S3_ATTEMPT_SHARE = 0.1, 0.38, 0.24
_SSM_CONFIG = Config(
    connect_timeout=2,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 1},  # the token cache tries again
)
_ARCHIVE_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=STATUS_REQUESTS,
)

log = logging.getLogger(__name__)


def build(settings: Settings) -> Flask:
    """Return the application and start its token and credential threads. Call it once per process, after the fork."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    session = new_session(settings.aws_region)
    session.get_component("data_loader")  # botocore makes it at its first use, which is not safe in two threads
    credentials = SessionCredentials(session.get_credentials)
    credentials.start()
    tokens = TokenCache(
        SsmTokenSource(
            lambda: cast("SSMClient", session.create_client("ssm", config=_SSM_CONFIG)), settings.ssm_parameter_name
        ),
        metrics,
        cache_seconds=settings.token_cache_seconds,
        stale_seconds=settings.token_stale_seconds,
    )
    tokens.start()
    tokens.wait_for_first_read()  # else the first requests get 503, though other workers are ready
    tracer = _tracer(settings)
    app = create_app(
        tokens=tokens,
        publisher=_publisher(settings, session, credentials, metrics, tracer),
        metrics=metrics,
        metrics_registry=metrics_registry(registry, several_workers="PROMETHEUS_MULTIPROC_DIR" in os.environ),
        draining=FLAG.is_set,
        max_request_bytes=settings.max_request_bytes,
        max_requests_in_flight=settings.max_requests_in_flight,
        max_inflated_bytes=settings.max_body_bytes_in_flight,
        max_payload_bytes=settings.max_request_bytes if settings.payload_bucket else 0,
        status=_status(settings, session),
        rate_limit=_rate_limit(settings, metrics),
        trusted_proxy_hops=settings.trusted_proxy_hops,
        tracer=tracer,
    )
    log.info("started", extra=settings.model_dump(mode="json"))
    return app


def _tracer(settings: Settings) -> Tracer:
    """Return the tracer that the OTEL_* variables ask for; when the worker ends, it exports what is buffered."""
    tracer = open_tracer(
        SERVICE,
        version(SERVICE),
        queue_url=settings.sqs_queue_url,
        bucket=settings.payload_bucket,
        environ=os.environ,
    )
    atexit.register(tracer.close)
    return tracer


def _publisher(
    settings: Settings,
    session: botocore.session.Session,
    credentials: SessionCredentials,
    metrics: Metrics,
    tracer: Tracer,
) -> PublishesMessages:
    deadline_seconds = settings.publish_deadline_seconds
    connect_seconds, read_seconds = _SQS_CONNECT_SHARE * deadline_seconds, _SQS_READ_SHARE * deadline_seconds
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
    publisher = Publisher(
        SqsQueue(client, settings.sqs_queue_url, read_seconds=read_seconds, attempt_seconds=attempt_seconds),
        metrics,
        deadline_seconds=deadline_seconds,
        attempt_seconds=attempt_seconds,
        max_waiting=settings.max_messages_waiting,
        tracer=tracer,
    )
    if not settings.payload_bucket:
        return publisher
    return ClaimCheck(
        publisher,
        _payloads(settings, session, credentials),
        PayloadPlace(settings.payload_bucket, settings.payload_prefix),
        metrics,
        deadline_seconds=deadline_seconds,
        send_seconds=attempt_seconds,
        max_requests=max(settings.max_requests_in_flight // 2, 1),
        tracer=tracer,
    )


def _payloads(settings: Settings, session: botocore.session.Session, credentials: SessionCredentials) -> S3Payloads:
    attempt_seconds = _S3_ATTEMPT_SHARE * settings.publish_deadline_seconds
    store = open_store(
        credentials.for_obstore,
        settings.payload_bucket,
        region=settings.aws_region,
        endpoint_url=endpoint_url(session, "s3", os.environ),
        request_seconds=attempt_seconds,
        user_agent=f"pillarbox/{SERVICE}",
        encryption={},  # the bucket's default
        ca_bundle=ca_bundle(session),
    )
    return S3Payloads(store, attempt_seconds=attempt_seconds)


def _status(settings: Settings, session: botocore.session.Session) -> StatusSource | str:
    """Return where the status of an e-mail is found, or why it is not."""
    if not settings.status_bucket:
        return NOT_SET
    template = KeyTemplate(settings.status_key_template, settings.status_prefix)
    id_tells_key = settings.status_object_layout == "message" and not template.depends_on_sender
    archive = S3Archive(
        lambda: cast("S3Client", session.create_client("s3", config=_ARCHIVE_CONFIG)), settings.status_bucket
    )
    return StatusSource(archive, template if id_tells_key else None)


def _rate_limit(settings: Settings, metrics: Metrics) -> "RateLimit | None":
    if settings.rate_limit is None:
        return None
    from limits import parse  # noqa: PLC0415  # not imported without a limit: it takes a tenth of the start

    from service1_api.rate_limit import RateLimit, shared_or_memory  # noqa: PLC0415  # as above

    store = shared_or_memory(settings.rate_limit_storage)
    return RateLimit(parse(settings.rate_limit), store, metrics, trusted_proxy_hops=settings.trusted_proxy_hops)


settings = load_or_exit(Settings)
check_or_exit(os.environ)
logs.configure(SERVICE, settings.log_level)
logs.buffer(SERVICE)
app = build(settings)
