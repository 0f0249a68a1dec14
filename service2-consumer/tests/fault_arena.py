"""Real processes and an emulated AWS: replicas to kill, a proxy that injects faults, and the final assertions."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import boto3
from botocore.config import Config

from common.testing.ports import free_port
from common.testing.waiting import answers, ask, eventually
from pillarbox.ids import new_message_id
from pillarbox.message import Envelope, encode_body
from pillarbox.strict_json import JsonValue

from .fakes import email
from .fault_proxy import FaultProxy

EMULATOR = Path(__file__).resolve().parents[2] / ".venvs/local_stack/bin/ministack"
REGION: Final = "eu-central-1"
BUCKET = "archive"
VISIBILITY_SECONDS = 4
END_SECONDS = 90  # for consuming the rest after the faults

_POISON = ('{"cut": %d', '{"email_subject": "only", "n": %d}', "[%d]", "plain text %d")


class Arena:
    """An emulator, a queue with its dead-letter queue, a bucket, a proxy in front of them, and consumer replicas."""

    def __init__(self, directory: Path, *, max_receive_count: int, seed: int, **settings: str) -> None:
        self._directory = directory
        self.log = directory / "consumers.log"
        self._settings = settings
        self.chance = random.Random(seed)  # noqa: S311  # a reproducible test, no secret
        self._emulator = self._start_emulator()
        self.proxy = FaultProxy(self._url, seed)
        session = boto3.Session("test", "test", region_name=REGION)
        config = Config(max_pool_connections=16, retries={"mode": "standard"})
        self.sqs = session.client("sqs", endpoint_url=self._url, config=config)
        self.s3 = session.client("s3", endpoint_url=self._url, config=config)
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self._dead_url = self.sqs.create_queue(QueueName="dead")["QueueUrl"]
        redrive = {
            "deadLetterTargetArn": f"arn:aws:sqs:{REGION}:000000000000:dead",
            "maxReceiveCount": str(max_receive_count),
        }
        self.queue_url = self.sqs.create_queue(QueueName="emails", Attributes={"RedrivePolicy": json.dumps(redrive)})[
            "QueueUrl"
        ]
        self.valid: dict[str, dict[str, JsonValue]] = {}
        self.poison: set[str] = set()
        self.replicas: list[subprocess.Popen[bytes]] = []
        self.ports: list[int] = []  # of all replicas, in the order of their starts
        self._feeder: threading.Thread | None = None

    def _start_emulator(self) -> subprocess.Popen[bytes]:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        variables = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1"}
        variables |= {
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(self._directory),
            "S3_DATA_DIR": str(self._directory / "s3"),
        }
        with (self._directory / "emulator.log").open("wb") as log:
            process = subprocess.Popen([EMULATOR], env=os.environ | variables, stdout=log, stderr=log)  # noqa: S603
        eventually(lambda: answers(f"{self._url}/_ministack/ready"), "the emulator is ready")
        return process

    # ---- input ----------------------------------------------------------------------------------------------------

    def feed(self, count: int, seconds: float = 0, *, repeats: bool = True) -> None:
        """Send e-mails, poison and optionally repeated e-mails over some seconds in the background."""
        messages = list(self._messages(count, repeats))
        if not seconds:
            self._send(messages, 0)
            return
        self._feeder = threading.Thread(target=self._send, args=(messages, seconds))
        self._feeder.start()

    def feed_refused(self, count: int) -> None:
        """Send e-mails whose objects S3 always answers with 500: they must end in the dead-letter queue."""
        for number in range(count):
            message_id = new_message_id()
            self.proxy.refused.add(message_id)
            body = encode_body(email(number, email_content="refused"))
            self.poison.add(body)
            self._send([(body, Envelope(message_id))], 0)

    def _messages(self, count: int, repeats: bool) -> Iterator[tuple[str, Envelope]]:
        first = len(self.valid)
        for number in range(first, first + count):
            message_id = new_message_id()
            self.valid[message_id] = email(number, email_content=f"Letter {number} \u0000 ü 👋 " * 20)
            message = (encode_body(self.valid[message_id]), Envelope(message_id, source="service1-api"))
            yield message
            if repeats and number % 25 == 0:
                yield message  # sent twice
            if number % 40 == 0:
                body = _POISON[number // 40 % len(_POISON)] % number
                self.poison.add(body)
                yield body, Envelope(new_message_id())

    def _send(self, messages: list[tuple[str, Envelope]], seconds: float) -> None:
        for start in range(0, len(messages), 10):
            entries = [
                {
                    "Id": str(i),
                    "MessageBody": body,
                    "MessageAttributes": {
                        name: {"DataType": "String", "StringValue": value}
                        for name, value in envelope.to_attributes().items()
                    },
                }
                for i, (body, envelope) in enumerate(messages[start : start + 10])
            ]
            self.sqs.send_message_batch(QueueUrl=self.queue_url, Entries=entries)  # type: ignore[arg-type]
            time.sleep(seconds * 10 / len(messages))

    # ---- replicas ------------------------------------------------------------------------------------------------

    def start(self, replicas: int = 1) -> None:
        """Start replicas."""
        for _ in range(replicas):
            with self.log.open("ab") as log:
                self.replicas.append(
                    subprocess.Popen([sys.executable, "-m", "service2_consumer"], env=self._environment(), stderr=log)
                )

    def _environment(self) -> dict[str, str]:
        self.ports.append(free_port())
        return os.environ | {
            "AWS_ENDPOINT_URL": self.proxy.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "SQS_QUEUE_URL": self.queue_url,
            "S3_BUCKET_NAME": BUCKET,
            "VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS),
            "STORE_DEADLINE_SECONDS": "1",
            "LONG_POLL_SECONDS": "1",
            "LANES": "2",
            "BIND_HOST": "127.0.0.1",
            "PORT": str(self.ports[-1]),
            **self._settings,
        }

    def end_one(self, how: signal.Signals, *, restart: bool = True) -> int:
        """Signal a random replica and start another; return the exit code."""
        replica = self.replicas.pop(self.chance.randrange(len(self.replicas)))
        replica.send_signal(how)
        code = replica.wait(30)
        if restart:
            self.start()
        return code

    def until_injected(self, service: str, kind: str, times: int) -> None:
        """Wait until a fault has been injected several times."""
        name = f"{service} {kind}"
        eventually(lambda: self.proxy.injected.get(name, 0) >= times, f"{times} faults: {name}", END_SECONDS)

    def sleep(self, least_seconds: float, most_seconds: float) -> None:
        """Sleep for a random time, so that faults occur at random times."""
        time.sleep(self.chance.uniform(least_seconds, most_seconds))

    def ask(self, path: str) -> tuple[int, str]:
        """Return status and body of a path of the replica that was started last."""
        return ask(self.ports[-1], path)

    # ---- assertions ----------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """End the faults; wait until the queue is empty and all poison is in the dead-letter queue."""
        self.proxy.faults = {"sqs": {}, "s3": {}}
        if self._feeder:
            self._feeder.join()
        eventually(
            lambda: self.depth(self.queue_url) == 0 and self.depth(self._dead_url) >= len(self.poison),
            "the queue is empty and all poison is dead",
            END_SECONDS,
        )
        for replica in self.replicas:
            replica.send_signal(signal.SIGTERM)
        codes = [replica.wait(30) for replica in self.replicas]
        assert codes == [0] * len(codes)

    def depth(self, url: str) -> int:
        """Return the number of messages in a queue, including those in flight."""
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])

    def dead_bodies(self) -> list[str]:
        """Receive all bodies of the dead-letter queue."""
        bodies: list[str] = []
        while found := self.sqs.receive_message(QueueUrl=self._dead_url, MaxNumberOfMessages=10).get("Messages"):
            bodies += [message["Body"] for message in found]
        return bodies

    def objects(self) -> dict[str, bytes]:
        """Read every object that holds e-mails."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        keys = [key for key in keys if not key.startswith("health/")]
        with ThreadPoolExecutor(8) as pool:
            bodies = pool.map(lambda key: self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read(), keys)
            return dict(zip(keys, bodies, strict=True))

    def records(self) -> list[dict[str, JsonValue]]:
        """Return every record, of either layout."""
        lines: list[bytes] = []
        for key, body in self.objects().items():
            assert key.startswith("messages/"), key
            lines += gzip.decompress(body).splitlines() if key.endswith(".gz") else [body]
        return [json.loads(line) for line in lines]

    def assert_nothing_lost(self, *, exactly_once: bool = True) -> None:
        """Assert that every valid e-mail is stored once and unchanged, and that only poison is dead-lettered."""
        records = self.records()
        stored = {str(record["message_id"]): record["email_data"] for record in records}
        assert stored == self.valid
        if exactly_once:
            counts = Counter(str(record["message_id"]) for record in records)
            assert [message_id for message_id, count in counts.items() if count > 1] == []
        assert Counter(self.dead_bodies()) == Counter(self.poison)

    def close(self) -> None:
        """End every process."""
        for replica in self.replicas:
            replica.kill()
            replica.wait(10)
        self.proxy.close()
        self._emulator.terminate()
        self._emulator.wait(30)


NewArena = Callable[..., Arena]
