"""Both services of a pipeline in one small server: what is sent is archived at once, and /metrics counts it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..pipelines import Pipeline
from .samples import put

TOKEN = "token-of-this-test"
_AGES = (0.05, 0.1, 0.25, 0.5)


class FakeServices:
    """Answers POST /api/message and GET /metrics. `url` is its address; the counts may be set.

    `posted` has the Idempotency-Key and the fields of each POST.
    """

    def __init__(self, pipeline: Pipeline | None = None) -> None:
        self.pipeline = pipeline
        self.accepted = self.stored = self.waiting = 0
        self.ages = [0] * (len(_AGES) + 1)
        self.posted: list[tuple[str, dict[str, str]]] = []
        services = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, services.metrics().encode())

            def do_POST(self) -> None:
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                services.posted.append((self.headers["Idempotency-Key"], document["data"]))
                if self.headers["Authorization"] != f"Bearer {TOKEN}":
                    self._answer(401, b'{"code": "unauthorized", "title": "The token is missing or wrong"}')
                elif not document["data"]["email_subject"].strip():
                    errors = [{"pointer": "/data/email_subject", "code": "blank", "detail": "must not be blank"}]
                    self._answer(400, json.dumps({"code": "invalid_data", "errors": errors}).encode())
                else:
                    self._answer(200, json.dumps({"message_id": services.take(document["data"])}).encode())

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, fields: dict[str, str]) -> str:
        """Archive an e-mail and return its id."""
        assert self.pipeline
        self.accepted += 1
        self.count_stored(1)
        return put(self.pipeline, datetime.now(UTC), 10_000 + self.accepted, fields)

    def count_stored(self, count: int, bucket: int = 0) -> None:
        """Count e-mails as stored, each of an age in a bucket of the histogram."""
        self.stored += count
        self.ages[bucket] += count

    def metrics(self) -> str:
        """Return what both services' /metrics would say."""
        below, lines = 0, []
        for bound, count in zip((*_AGES, "+Inf"), self.ages, strict=True):
            below += count
            lines.append(f'pillarbox_consumer_age_seconds_bucket{{le="{bound}"}} {below}')
        return "\n".join(
            [
                "# TYPE pillarbox_api_published_total counter",
                f"pillarbox_api_published_total {self.accepted}",
                "# TYPE pillarbox_consumer_stored_total counter",
                f"pillarbox_consumer_stored_total {self.stored}",
                "# TYPE pillarbox_consumer_queue_messages gauge",
                f'pillarbox_consumer_queue_messages{{state="visible"}} {self.waiting}',
                f'pillarbox_consumer_queue_messages{{state="in_flight"}} {self.waiting // 4}',
                "# TYPE pillarbox_consumer_age_seconds histogram",
                *lines,
                f"pillarbox_consumer_age_seconds_count {below}",
                f"pillarbox_consumer_age_seconds_sum {below / 20}",
                "",
            ]
        )

    def run(self) -> None:
        """Serve until `close`."""
        self._server.serve_forever(0.05)

    def close(self) -> None:
        """End `run`."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_services(pipeline: Pipeline | None = None) -> Iterator[FakeServices]:
    """Yield services that are served in a thread."""
    services = FakeServices(pipeline)
    thread = threading.Thread(target=services.run)
    thread.start()
    try:
        yield services
    finally:
        services.close()
        thread.join(30)
