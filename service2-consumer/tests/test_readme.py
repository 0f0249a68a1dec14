"""The commands and examples of the README."""

import json
import subprocess
from pathlib import Path

from pillarbox.message import Envelope, encode_body
from pillarbox.object_key import KeyTemplate
from service2_consumer.batching import HourlyBatcher
from service2_consumer.model import InFlightMessage
from service2_consumer.record import Recorder

from .fakes import DEFAULT_TEMPLATE, START, email, message_id

README = Path(__file__).resolve().parent.parent / "README.md"


def batch(*numbers: int) -> bytes:
    batcher = HourlyBatcher("", max_messages=500, max_bytes=1_000_000, max_seconds=30)
    recorder = Recorder(KeyTemplate(DEFAULT_TEMPLATE, ""), "1.2.3")
    for number in numbers:
        attributes = Envelope(message_id(number)).to_attributes()
        record = recorder.record(InFlightMessage("sqs", "", encode_body(email(number)), attributes, START, 1), START)
        batcher.add(InFlightMessage("sqs", "r", "", {}, START, 1), record, 0)
    (upload,) = batcher.take_due(0, everything=True)
    return upload.body


def test_deduplication_command_removes_repeated_records(tmp_path: Path) -> None:
    command = README.read_text().partition("<!-- deduplication -->\n```sh\n")[2].partition("\n```")[0]
    (tmp_path / "batches").mkdir()
    (tmp_path / "batches/a.jsonl.gz").write_bytes(batch(1, 2, 3))
    (tmp_path / "batches/b.jsonl.gz").write_bytes(batch(2, 3, 4))
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: S603, S607
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["message_id"] for record in records] == [message_id(number) for number in range(1, 5)]
    assert [record["email_data"] for record in records] == [email(number) for number in range(1, 5)]


def test_readme_templates_give_the_documented_keys() -> None:
    rows = [line.split("|")[1:4] for line in README.read_text().splitlines() if line.startswith("| `") and "…" in line]
    examples = [[cell.strip(" `") for cell in row] for row in rows if "{prefix}" in row[1]]
    assert [prefix for prefix, _, _ in examples] == ["messages/", "sqs-messages/", "emails/", "messages/"]
    for prefix, template, key in examples:
        timestamp = START.replace(year=2026, month=12, day=10, hour=14, minute=30, second=22)
        made = KeyTemplate(template, prefix).key("019b…", timestamp, "Jane Doe <jane.doe@example.com>")
        assert made == key, template
