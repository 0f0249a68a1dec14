"""The botocore session of a service: region, time-outs of calls to STS, endpoints and CA bundle."""

import logging
from collections.abc import Mapping

import botocore.session
from botocore.config import Config

# By default botocore waits 60 seconds and tries five times. The refresh of credentials has its own retries.
_STS_CONNECT_SECONDS = 2
_STS_READ_SECONDS = 3


def new_session(region: str) -> botocore.session.Session:
    """Return a session for `region` whose clients, including STS, fail within seconds."""
    session = botocore.session.Session()
    session.set_config_variable("region", region)
    session.set_default_client_config(
        Config(
            connect_timeout=_STS_CONNECT_SECONDS,
            read_timeout=_STS_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
    )
    # It logs a traceback for each failed refresh. pillarbox_aws.credentials logs the changes of state instead.
    logging.getLogger("botocore.credentials").setLevel(logging.CRITICAL)
    return session


def endpoint_url(session: botocore.session.Session, service: str, environ: Mapping[str, str]) -> str | None:
    """Return the endpoint set for a service in the environment or the profile; None means the default of AWS.

    The order is that of the SDKs: https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    profile = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(profile.get("services"), {})
    sources = (
        environ.get(f"AWS_ENDPOINT_URL_{service.upper()}"),
        environ.get("AWS_ENDPOINT_URL"),
        services.get(service, {}).get("endpoint_url"),
        profile.get("endpoint_url"),
    )
    return next((str(url) for url in sources if url), None)


def ca_bundle(session: botocore.session.Session) -> str | None:
    """Return the path of the CA bundle set in AWS_CA_BUNDLE or the profile."""
    path = session.get_config_variable("ca_bundle")
    return str(path) if path else None
