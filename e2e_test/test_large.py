"""E-mails larger than the 1 MiB of SQS, through the whole pipeline: eight at once, within the pods' memory."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.testing.ports import free_port
from common.testing.waiting import eventually
from e2e_test.conftest import EMAIL, Pipeline
from local_stack.programs import Options
from local_stack.provision import client
from local_stack.stack import LocalStack

pytestmark = pytest.mark.faults

MIB = 1024 * 1024
AT_ONCE = 8
SIZE_MIB = int(os.environ.get("LARGE_MIB", "8"))
POD_MIB = {"API": 512, "consumer": 384}  # the memory limits in k8s/base


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    options = Options(
        directory=Path(tmp_path_factory.mktemp("large")),
        api_port=free_port(),
        consumer_port=free_port(),
        file_intake_port=free_port(),
        emulator_port=free_port(),
        template_parameters={},
        service_environment={"MAX_REQUEST_BYTES": str(16 * MIB), "LANES": "2", "READ_BUDGET_BYTES": str(16 * MIB)},
    )
    with LocalStack(options) as stack:
        sqs, s3 = client(stack.environment, "sqs"), client(stack.environment, "s3")
        yield Pipeline(stack, sqs, s3)
        sqs.close()
        s3.close()


def peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def worker_of(arbiter: int) -> int:
    return int(Path(f"/proc/{arbiter}/task/{arbiter}/children").read_text().split()[0])


def test_eight_emails_of_8_mib_at_once_are_archived_unchanged_within_the_memory_of_the_pods(large: Pipeline) -> None:
    emails = [EMAIL | {"email_content": f"{number} Grüße 👋 " + "x" * (SIZE_MIB * MIB)} for number in range(AT_ONCE)]
    pids = {"API": worker_of(large.stack.api.pid), "consumer": large.stack.consumer.pid}

    def post(email: dict[str, str]) -> str:
        answers = []
        for _ in range(100):
            answers.append(large.post(email))
            if answers[-1].status != 503:
                break
        assert answers[-1].status == 200, answers[-1].body
        return str(answers[-1].body["message_id"])

    with ThreadPoolExecutor(AT_ONCE) as threads:
        ids = list(threads.map(post, emails))
        small = [large.post(EMAIL).status for _ in range(20)]
    assert small == [200] * 20
    eventually(lambda: len(large.keys()) == AT_ONCE + 20, "all are archived", 120)
    large.wait_drained()
    records = {record["message_id"]: record["email_data"] for record in large.records(set(ids))}
    assert [records[message_id] for message_id in ids] == emails
    payloads = large.s3.list_objects_v2(Bucket=large.stack.environment["PAYLOAD_BUCKET"])["Contents"]
    assert [item["Key"].startswith("payloads/") for item in payloads] == [True] * AT_ONCE
    used = {name: peak_mib(pid) for name, pid in pids.items()}
    print("peak RSS in MiB:", json.dumps(used))
    assert all(used[name] < POD_MIB[name] for name in used), used
