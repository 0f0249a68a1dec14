"""e2e_test/scaling_test.sh with a simulated cluster and a real queue."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.testing.emulator import ROOT, outer_environment, running_emulator
from tests.deploy.cloud import Cloud

# Simulates `kubectl`: each read of the deployment returns the next line of the file `states`; the last one repeats.
KUBECTL = """#!/usr/bin/env bash
set -euo pipefail
echo "$*" >>"$STAGE/calls"
case "$*" in
  *"get scaledobject"*) [[ -e "$STAGE/least" ]] && cat "$STAGE/least" ;;
  *"get deployment"*)
    line=$(sed -n 1p "$STAGE/states")
    if [[ $(wc -l <"$STAGE/states") -gt 1 ]]; then sed -i 1d "$STAGE/states"; fi
    [[ "$line" != error ]] || { echo "the server is away" >&2; exit 1; }
    printf '%s' "$line"
    ;;
  "config current-context") echo played ;;
esac
"""

# Simulates the Python of send_to_queue.sh: records the requested number of e-mails.
SENDER = """#!/usr/bin/env bash
if [[ "$1" == -m ]]; then echo "$3" >>"$STAGE/sent"; fi
"""


@dataclass(slots=True)
class Cluster:
    """Runs the script with the simulated kubectl."""

    aws: dict[str, str]
    queue_url: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def play_sender(self) -> None:
        """Send nothing to the queue, which saves the start of boto3; `sent` returns the number that would be sent."""
        sender = self.folder / "bin/sender"
        sender.write_text(SENDER)
        sender.chmod(0o755)
        self.settings["E2E_PYTHON"] = str(sender)

    def sent(self) -> int:
        """Return the number of e-mails that the simulated sender was asked to send."""
        path = self.folder / "sent"
        return sum(map(int, path.read_text().split())) if path.exists() else 0

    def run(self, states: list[str], *arguments: str, least: str | None = "0") -> subprocess.CompletedProcess[str]:
        (self.folder / "states").write_text("".join(f"{state}\n" for state in states))
        (self.folder / "calls").write_text("")
        if least is not None:
            (self.folder / "least").write_text(least)
        return subprocess.run(
            [ROOT / "e2e_test/scaling_test.sh", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=outer_environment() | self.aws | {
                "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "STAGE": str(self.folder),
                "SQS_QUEUE_URL": self.queue_url,
                "SCALING_POLL_SECONDS": "0.05",
                "SCALING_TIMEOUT_SECONDS": "30",
            } | self.settings,
        )  # fmt: skip


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield environment


@pytest.fixture
def cluster(aws: dict[str, str], tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "bin").mkdir()
    kubectl = tmp_path / "bin/kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    sqs = Cloud(aws).client("sqs")
    url = sqs.create_queue(QueueName="emails")["QueueUrl"]
    yield Cluster(aws, url, tmp_path)
    sqs.delete_queue(QueueUrl=url)


def waiting(cluster: Cluster) -> int:
    sqs = Cloud(cluster.aws).client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=cluster.queue_url, AttributeNames=["All"])["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


def test_the_time_line_goes_from_0_up_and_back(cluster: Cluster) -> None:
    cluster.play_sender()
    done = cluster.run(["0,", "0,", "1,", "3,1", "3,3", "3,3", "1,1", ",", ","], "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.split("s  ", 1)[1].split("#")[0].split() for line in done.stdout.splitlines() if " s  pods" in line]
    assert [(step[1], step[3]) for step in steps] == [
        ("0", "0"), ("1", "0"), ("3", "1"), ("3", "3"), ("1", "1"), ("0", "0"),
    ]  # fmt: skip
    assert done.stdout.splitlines()[-1].startswith("PASSED: 0 -> 3 -> 0 pods")


@pytest.mark.parametrize(("arguments", "count"), [((), 25), (("7",), 7)])
def test_it_sends_25_e_mails_or_as_many_as_told(cluster: Cluster, arguments: tuple[str, ...], count: int) -> None:
    cluster.play_sender()
    assert cluster.run(["0,", "1,1", "0,"], "--yes", *arguments).returncode == 0
    assert cluster.sent() == count


def test_the_e_mails_reach_the_queue(cluster: Cluster) -> None:
    assert cluster.run(["0,", "1,1", "0,"], "--yes", "3").returncode == 0
    assert waiting(cluster) == 3


def test_it_looks_at_the_consumer_s_own_namespace(cluster: Cluster) -> None:
    cluster.play_sender()
    assert cluster.run(["0,", "1,1", "0,"], "--yes").returncode == 0
    calls = (cluster.folder / "calls").read_text().splitlines()
    assert calls
    assert [call for call in calls if "--namespace pillarbox-consumer" not in call] == []


def test_a_look_that_fails_is_made_again(cluster: Cluster) -> None:
    cluster.play_sender()
    done = cluster.run(["0,", "error", "1,1", "error", "0,"], "--yes")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("states", "words", "sent"),
    [
        (["2,2"], "did not go down to 0", 0),
        (["0,"], "no pod was ready", 25),
        (["0,", "1,1"], "did not go back to 0", 25),
    ],
    ids=["busy before", "never up", "never down"],
)
def test_a_step_that_does_not_come_fails_with_its_name(
    cluster: Cluster, states: list[str], words: str, sent: int
) -> None:
    cluster.play_sender()
    cluster.settings |= {"SCALING_TIMEOUT_SECONDS": "1", "SCALING_POLL_SECONDS": "0.3"}
    done = cluster.run(states, "--yes")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("FAILED: ")
    assert words in done.stdout
    assert cluster.sent() == sent


@pytest.mark.parametrize(
    ("least", "words"), [("1", "keeps 1 pod(s)"), (None, "needs KEDA")], ids=["prod", "without KEDA"]
)
def test_a_cluster_that_shows_nothing_is_refused_before_anything_is_sent(
    cluster: Cluster, least: str | None, words: str
) -> None:
    cluster.play_sender()
    done = cluster.run(["0,"], "--yes", least=least)
    assert (done.returncode, words in done.stderr) == (2, True)
    assert cluster.sent() == 0


def test_nothing_is_sent_without_an_answer(cluster: Cluster) -> None:
    cluster.play_sender()
    assert cluster.run(["0,", "1,1", "0,"]).returncode == 2
    assert cluster.sent() == 0
