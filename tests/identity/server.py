"""The HTTP sources of AWS credentials: STS (web identity), the EKS Pod Identity agent, and IMDSv2."""

import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

from tests.identity.http_server import LoopbackServer, Quiet

WEB_IDENTITY_TOKEN = "web-identity-token"
POD_TOKEN = "pod-identity-token"
IMDS_TOKEN = "imds-session-token"
ROLE_ARN = "arn:aws:iam::123456789012:role/pillarbox"

_STS_REPLY = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{AccessKeyId}</AccessKeyId>
<SecretAccessKey>{SecretAccessKey}</SecretAccessKey><SessionToken>{Token}</SessionToken>
<Expiration>{Expiration}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""
_STS_ERROR = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>{code}</Code><Message>on demand</Message></Error></ErrorResponse>"""


class IdentityServer(LoopbackServer):
    """Issues credentials valid for `life_seconds`. `fault` replaces all answers: (status, code), "hang" or None."""

    def __init__(self, life_seconds: float) -> None:
        self.life_seconds = life_seconds
        self.fault: tuple[int, str] | str | None = None
        self.asked = 0
        self._expiries: dict[str, float] = {}
        self._released = threading.Event()
        super().__init__(_Handler)

    def issue(self) -> dict[str, str]:
        """Return new credentials in the format of IMDS."""
        number = len(self._expiries) + 1
        token = f"session-{number}"
        self._expiries[token] = time.time() + self.life_seconds
        expiry = datetime.now(UTC) + timedelta(seconds=self.life_seconds)
        return {
            "AccessKeyId": f"ASIA{number:016}",
            "SecretAccessKey": "secret",
            "Token": token,
            "Expiration": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def accepts(self, token: str) -> bool:
        """Return whether a session token was issued here and has not expired."""
        return time.time() < self._expiries.get(token, 0)

    def hang(self) -> None:
        """Send no answer until the server closes or the client has timed out."""
        self._released.wait(10)

    def close(self) -> None:
        self._released.set()
        super().close()

    def web_identity(self, token_file: str) -> dict[str, str]:
        """Return the variables of a pod whose service account has a role (IRSA)."""
        return {
            "AWS_ROLE_ARN": ROLE_ARN,
            "AWS_WEB_IDENTITY_TOKEN_FILE": token_file,
            "AWS_ENDPOINT_URL_STS": self.url,
        }

    def pod_identity(self, token_file: str) -> dict[str, str]:
        """Return the variables of a pod with an EKS Pod Identity association."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token_file,
        }

    def instance(self) -> dict[str, str]:
        """Return the variables that select this server's instance metadata."""
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url, "AWS_EC2_METADATA_DISABLED": "false"}


class _Handler(Quiet, BaseHTTPRequestHandler):
    server: IdentityServer

    def do_POST(self) -> None:  # STS
        form = parse_qs(self.body().decode())
        if self._spoilt():
            return
        wanted = {"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": WEB_IDENTITY_TOKEN, "RoleArn": ROLE_ARN}
        if {name: form[name][0] for name in wanted} != wanted:
            self.reply(400, _STS_ERROR.format(code="InvalidIdentityToken"), "text/xml")
            return
        self.reply(200, _STS_REPLY.format(**self.server.issue()), "text/xml")

    def do_PUT(self) -> None:  # the session of IMDSv2
        self.body()
        if not self._spoilt():
            self.reply(200, IMDS_TOKEN, "text/plain")

    def do_GET(self) -> None:
        if self._spoilt():
            return
        if self.path == "/v1/credentials":
            self._credentials({"Authorization": POD_TOKEN})
        elif self.path == "/latest/meta-data/iam/security-credentials/":
            self.reply(200, "node-role", "text/plain")
        else:
            self._credentials({"x-aws-ec2-metadata-token": IMDS_TOKEN})

    def _credentials(self, wanted: Mapping[str, str]) -> None:
        if any(self.headers[name] != value for name, value in wanted.items()):
            self.reply(401, "{}", "application/json")
            return
        self.reply(200, json.dumps({"Code": "Success", **self.server.issue()}), "application/json")

    def _spoilt(self) -> bool:
        self.server.asked += 1
        fault = self.server.fault
        if fault is None:
            return False
        if isinstance(fault, tuple):
            self.reply(fault[0], _STS_ERROR.format(code=fault[1]), "text/xml")
        else:
            self.server.hang()
            self.close_connection = True
        return True
