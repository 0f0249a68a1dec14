"""A pipeline under load, and the Prometheus that watches it."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e_test.conftest import EMAIL, Pipeline
from e2e_test.prometheus_api import prometheus_api
from local_stack.prometheus import RULES

GROUPS = [group for path in RULES for group in yaml.load(path.read_text(), yaml.CSafeLoader)["groups"]]


@dataclass(frozen=True, slots=True)
class Watched:
    """A pipeline under load, the Prometheus that watches it, and when that began (Unix seconds)."""

    pipeline: Pipeline
    url: str
    since: float

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples that are numbers."""
        result = prometheus_api(self.url, "query", query=expression)["result"]
        return [sample for sample in result if sample["value"][1] != "NaN"]

    def series(self, selector: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = prometheus_api(
            self.url, "series", **{"match[]": selector, "start": str(self.since), "end": str(time.time() + 60)}
        )
        return found

    def firing(self) -> list[dict[str, Any]]:
        return [alert for alert in prometheus_api(self.url, "alerts")["alerts"] if alert["state"] == "firing"]

    def names_firing(self) -> set[tuple[str, str]]:
        """Return the names of the alerts that fire, each with its container, empty for those of the API."""
        return {(alert["labels"]["alertname"], alert["labels"].get("container", "")) for alert in self.firing()}


def quick_rules(folder: Path) -> list[Path]:
    """Write the rules with a second in place of every interval and pause; the expressions stay as they are."""
    quick = [
        {
            "name": group["name"],
            "interval": "1s",
            "rules": [
                {key: value for key, value in rule.items() if key != "keep_firing_for"}
                | ({"for": "1s"} if "alert" in rule else {})
                for rule in group["rules"]
            ],
        }
        for group in GROUPS
    ]
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": quick}))
    return [path]


def send_load(pipeline: Pipeline) -> None:
    """Send all kinds of e-mails and files, so that every metric of the services moves."""
    key = str(uuid.UUID(int=int(time.time() * 1000) << 80 | 7 << 76 | 2 << 62 | uuid.uuid4().int >> 66))
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: pipeline.post(EMAIL), range(30)))
    assert {answer.status for answer in answers} == {200}
    large = pipeline.post({**EMAIL, "email_content": "x" * 1_100_000})
    assert large.status == 200, large.body
    for content in ("one", "one", "another"):  # a duplicate, and a conflict
        body = json.dumps({"data": {**EMAIL, "email_content": content}, "token": pipeline.token}).encode()
        assert pipeline.request("/api/message", body, {"Idempotency-Key": key}).status == 200
    assert pipeline.request("/api/message", b'{"data": {}, "token": "wrong"}').status == 401
    pipeline.sqs.send_message(QueueUrl=pipeline.queue_url, MessageBody="not an e-mail")
    inbox = pipeline.stack.environment["INBOX_BUCKET_NAME"]
    for name, content in (("mail.eml", "From: a@example.com\nSubject: s\n\ntext\n"), ("noise.bin", "\0\1\2")):
        pipeline.s3.put_object(Bucket=inbox, Key=f"inbox/{name}-{key}", Body=content.encode())
    for key in (answers[-1].body["message_id"], large.body["message_id"]):
        pipeline.wait_stored(key)
