"""A proxy in front of SQS, SSM and S3 that forwards only requests with a currently valid session token."""

import http.client
import json
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.identity.http_server import LoopbackServer, Quiet
from tests.identity.server import IdentityServer

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
_EXPIRED_XML = "<Error><Code>ExpiredToken</Code></Error>"
_EXPIRED_JSON = json.dumps({"__type": "com.amazonaws.sqs#ExpiredToken", "message": "on demand"})


class Gate(LoopbackServer):
    """Records the session tokens of the calls to each service.

    It forwards to `target`; without a target it answers with an empty receive or a stored object. With `s3_fails`
    every call to S3 is answered with 503.
    """

    def __init__(self, identity: IdentityServer, target: str | None = None) -> None:
        self.identity = identity
        self.target = urlsplit(target).netloc if target else None
        self.seen: dict[str, list[str]] = {"sqs": [], "ssm": [], "s3": []}  # accepted tokens, in order
        self.refused = 0
        self.s3_fails = False
        super().__init__(_Handler)

    def tokens(self, service: str) -> set[str]:
        """Return the distinct valid tokens of the calls to a service."""
        return set(self.seen[service])


class _Handler(Quiet, BaseHTTPRequestHandler):
    server: Gate

    def setup(self) -> None:
        super().setup()
        self._upstream = http.client.HTTPConnection(self.server.target, timeout=60) if self.server.target else None

    def finish(self) -> None:
        if self._upstream:
            self._upstream.close()
        super().finish()

    def _pass_on(self) -> None:
        body = self.body()
        target = self.headers.get("x-amz-target", "")
        service = {"AmazonSQS": "sqs", "AmazonSSM": "ssm"}.get(target.partition(".")[0], "s3")
        token = self.headers.get("x-amz-security-token", "")
        if not self.server.identity.accepts(token):
            self.server.refused += 1
            self._answer(403, _EXPIRED_JSON if target else _EXPIRED_XML)
            return
        self.server.seen[service].append(token)
        if service == "s3" and self.server.s3_fails:
            self._answer(503, "<Error><Code>SlowDown</Code></Error>")
        elif self._upstream is None:
            self._answer(200, "{}" if target else "")
        else:
            self._forward(self._upstream, body)

    def _forward(self, upstream: http.client.HTTPConnection, body: bytes) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read().decode()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
        self.reply(answer.status, content, kept.pop("Content-Type", "text/plain"), kept)

    def _answer(self, status: int, text: str) -> None:
        self.reply(status, text, "application/json", {"ETag": '"e"'})

    def do_GET(self) -> None:  # the names that http.server calls
        self._pass_on()

    def do_PUT(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_HEAD(self) -> None:
        self._pass_on()
