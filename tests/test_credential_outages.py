"""Both services as processes with STS credentials that expire in seconds, while STS fails in each phase."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from local_stack.processes import Process, answers
from tests.identity.pipeline import EXPIRED, Pipeline, count_of, events, eventually, metric, running_pipeline
from tests.identity.server import IdentityServer

FAULTS: list[tuple[int, str] | str] = [
    (500, "InternalFailure"),
    (403, "AccessDenied"),
    (400, "InvalidIdentityToken"),
    "hang",
]
MANY = 1000
OUTAGE_SECONDS = 12  # three lifetimes of the credentials; also measured with 60


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with running_pipeline(tmp_path_factory.mktemp("identity")) as pipeline:
        yield pipeline


@pytest.fixture(autouse=True)
def _healed(pipeline: Pipeline) -> Iterator[None]:
    """End the fault after each test."""
    yield
    pipeline.identity.fault, pipeline.gate.s3_fails = None, False


def test_an_email_goes_through_and_both_services_change_to_fresh_credentials(pipeline: Pipeline) -> None:
    before = pipeline.stored()
    assert pipeline.post() == 200
    eventually(lambda: pipeline.stored() == before + 1, "the e-mail was not stored")
    tokens = pipeline.gate.tokens("sqs") | pipeline.gate.tokens("s3")
    eventually(lambda: pipeline.gate.tokens("sqs") - tokens, "the credentials were not refreshed")
    eventually(lambda: pipeline.gate.tokens("ssm") - tokens, "SSM was not asked with fresh credentials")

    def stored_with_fresh_credentials() -> object:
        assert pipeline.post() == 200  # one e-mail is not enough: the consumer may still have its old credentials
        return pipeline.gate.tokens("s3") - tokens

    eventually(stored_with_fresh_credentials, "no e-mail was stored with fresh credentials")
    assert pipeline.gate.refused == 0


# ---- STS failing, in each phase -------------------------------------------------------------------------------------


def fail(pipeline: Pipeline, fault: tuple[int, str] | str, *processes: Process) -> None:
    """Make STS fail, and wait until these processes have no valid credentials."""
    before = [count_of(process, EXPIRED) for process in processes]
    pipeline.identity.fault = fault
    for process, count in zip(processes, before, strict=True):
        eventually(lambda p=process, n=count: count_of(p, EXPIRED) > n, f"{process.name} keeps valid credentials")  # type: ignore[misc]


def heal(identity: IdentityServer) -> None:
    identity.fault = None


def pids(pipeline: Pipeline) -> list[int]:
    return [pipeline.api.pid, pipeline.consumer.pid]


def assert_same_processes(pipeline: Pipeline, before: list[int]) -> None:
    """Assert that no process was restarted, gunicorn's worker included."""
    assert pids(pipeline) == before
    assert [pipeline.api.exit_code(), pipeline.consumer.exit_code()] == [None, None]
    assert count_of(pipeline.api, "started") == 1


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_sts_failing_while_both_are_idle_is_an_outage_of_the_queue(
    pipeline: Pipeline, fault: tuple[int, str] | str
) -> None:
    before, running = pipeline.stored(), pids(pipeline)
    fail(pipeline, fault, pipeline.api, pipeline.consumer)
    assert pipeline.post() == 503
    assert answers(pipeline.consumer.ready_url.replace("/ready", "/health"))
    heal(pipeline.identity)
    eventually(lambda: pipeline.post() == 200, "the API did not recover")
    eventually(lambda: pipeline.stored() == before + 1, "the consumer did not recover")
    assert_same_processes(pipeline, running)


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_consumer_and_an_api_that_start_while_sts_fails_get_ready_once_it_answers(
    pipeline: Pipeline, fault: tuple[int, str] | str
) -> None:
    pipeline.identity.fault = fault
    name = f"late-{FAULTS.index(fault)}"
    late = [
        pipeline.new_api(f"api-{name}"),
        pipeline.new_consumer(f"consumer-{name}"),
    ]
    try:
        for process in late:
            process.start()
        for process in late:
            eventually(lambda p=process: p.log_path.exists() and count_of(p, EXPIRED), f"{process.name} is silent")  # type: ignore[misc]
            assert answers(process.ready_url.replace("/ready", "/health"))
            assert not answers(process.ready_url)
        heal(pipeline.identity)
        for process in late:
            eventually(lambda p=process: answers(p.ready_url), f"{process.name} did not get ready")  # type: ignore[misc]
            assert process.exit_code() is None
        eventually(lambda: pipeline.post(late[0]) == 200, "the late API does not publish")
    finally:
        heal(pipeline.identity)
        codes = [process.stop(40) for process in late]
    assert codes == [0, 0]


@pytest.mark.faults
@pytest.mark.parametrize("fault", [FAULTS[0], "hang"], ids=str)
def test_messages_in_hand_survive_an_outage_of_sts(pipeline: Pipeline, fault: tuple[int, str] | str) -> None:
    before, running = pipeline.stored(), pids(pipeline)
    hold_messages(pipeline)
    fail(pipeline, fault, pipeline.consumer)
    pipeline.gate.s3_fails = False
    assert pipeline.stored() == before
    heal(pipeline.identity)
    eventually(lambda: pipeline.stored() == before + 3, "the e-mails in hand were not stored")
    eventually(lambda: metric(pipeline.consumer, "pillarbox_consumer_in_flight") == 0, "something is held still")
    assert metric(pipeline.consumer, "pillarbox_consumer_lanes_alive") == 4
    assert pipeline.dead() == 0
    assert_same_processes(pipeline, running)


def hold_messages(pipeline: Pipeline) -> None:
    """Make the consumer hold three messages that S3 refuses."""
    pipeline.gate.s3_fails = True
    for _ in range(3):
        eventually(lambda: pipeline.post() == 200, "the API does not take e-mails")
    eventually(lambda: metric(pipeline.consumer, "pillarbox_consumer_in_flight") == 3, "the messages were not received")


@pytest.mark.faults
@pytest.mark.parametrize("fault", [FAULTS[0], "hang"], ids=str)
def test_a_consumer_told_to_stop_while_sts_fails_ends_in_time_and_its_messages_come_again(
    pipeline: Pipeline, fault: tuple[int, str] | str
) -> None:
    before = pipeline.stored()
    hold_messages(pipeline)
    fail(pipeline, fault, pipeline.api, pipeline.consumer)
    assert pipeline.consumer.stop(40) == 0
    assert pipeline.api.stop(40) == 0
    pipeline.gate.s3_fails = False
    heal(pipeline.identity)
    for process in (pipeline.consumer, pipeline.api):
        process.log_path.unlink()
        process.start()
        process.wait_ready(60)
    eventually(lambda: pipeline.stored() == before + 3, "the e-mails did not come again")
    assert pipeline.dead() == 0


# ---- many ------------------------------------------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_thousand_emails_pass_an_outage_of_sts_without_a_loss_and_without_a_restart(pipeline: Pipeline) -> None:
    before, running = pipeline.stored(), pids(pipeline)
    refreshed = len(pipeline.gate.tokens("sqs"))
    lines = len(events(pipeline.consumer)) + len(events(pipeline.api))
    started = time.monotonic()

    def deliver(number: int) -> None:
        """Send one e-mail with retries; the e-mails are spread over the outage."""
        time.sleep(max(0.0, started + number * (OUTAGE_SECONDS + 6) / MANY - time.monotonic()))
        eventually(lambda: pipeline.post() == 200, "an e-mail was never accepted", seconds=OUTAGE_SECONDS + 120)

    with ThreadPoolExecutor(16) as clients:
        sent = [clients.submit(deliver, number) for number in range(MANY)]
        eventually(lambda: sum(future.done() for future in sent) >= MANY // 10, "the first e-mails are not accepted")
        pipeline.identity.fault = (500, "InternalFailure")
        time.sleep(OUTAGE_SECONDS)
        heal(pipeline.identity)
        for future in sent:
            future.result()
    eventually(lambda: pipeline.stored() == before + MANY, "not every e-mail was stored", seconds=120)
    assert pipeline.dead() == 0
    assert_same_processes(pipeline, running)
    assert len(pipeline.gate.tokens("sqs")) > refreshed + 2
    logged = [*events(pipeline.consumer), *events(pipeline.api)][lines:]
    assert [event for event in logged if "exception" in event] == []
    about = [event for event in logged if event["logger"] == "pillarbox_aws.credentials"]
    assert len(about) <= 6  # for each of two services: STS fails, credentials have expired, STS works again
