"""The credentials of a process: how long they are used, who waits, and what is logged."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import ClientError, CredentialRetrievalError

from pillarbox_aws.credentials import CredentialsError, SessionCredentials
from pillarbox_aws.session import new_session

SYDNEY = timezone(timedelta(hours=10))


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeSts:
    """Returns credentials that are valid for `life_seconds`, or raises `error`."""

    def __init__(self, life_seconds: float = 3600) -> None:
        self.life_seconds = life_seconds
        self.error: Exception | None = None
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self) -> dict[str, str]:
        self.asked += 1
        assert self.may_answer.wait(10)
        if self.error:
            raise self.error
        expiry = datetime.now(SYDNEY) + timedelta(seconds=self.life_seconds)
        numbered = {"access_key": f"key-{self.asked}", "secret_key": "s", "token": f"token-{self.asked}"}
        return numbered | {"expiry_time": expiry.isoformat()}

    def found(self) -> RefreshableCredentials:
        return RefreshableCredentials("k", "s", "t", datetime.now(SYDNEY) - timedelta(hours=1), self, "test")


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "..."}}, "AssumeRoleWithWebIdentity")


FAILURES = [
    (client_error("InvalidIdentityToken"), "InvalidIdentityToken"),
    (client_error("AccessDenied"), "AccessDenied"),
    (CredentialRetrievalError(provider="test", error_msg="down"), "CredentialRetrievalError"),
    (RuntimeError("still expired"), "RuntimeError"),
    (FileNotFoundError("the token's file"), "FileNotFoundError"),
    (KeyError("AccessKeyId"), "KeyError"),
]

started: list[SessionCredentials] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while started:
        started.pop().close()


def keeping(found: Credentials | None, clock: Callable[[], float] | None = None) -> SessionCredentials:
    credentials = SessionCredentials(lambda: found, **({"clock": clock} if clock else {}))
    started.append(credentials)
    return credentials


def test_static_credentials_never_expire_and_end_the_thread() -> None:
    credentials = keeping(Credentials("key", "secret"))
    assert credentials.refresh() == math.inf
    assert credentials.current().access_key == "key"
    assert credentials.for_obstore()["expires_at"] is None


def test_obstore_gets_the_expiry_in_utc() -> None:
    credentials = keeping(FakeSts(7200).found())
    credentials.refresh()
    expires_at = credentials.for_obstore()["expires_at"]
    assert expires_at is not None
    assert expires_at.tzinfo is UTC
    assert timedelta(minutes=59) < expires_at - datetime.now(UTC) <= timedelta(hours=2)


@pytest.mark.parametrize("life_seconds", [5, 70, 1000, 3601, 43200])
def test_credentials_are_not_used_after_their_expiry(life_seconds: float) -> None:
    clock = FakeClock()
    credentials = keeping(FakeSts(life_seconds).found(), clock)
    pause = credentials.refresh()
    valid = credentials.valid()
    assert 0 < valid.until_seconds - clock.now <= life_seconds
    assert 0 < pause <= 60


@pytest.mark.parametrize(("error", "cause"), FAILURES, ids=[cause for _, cause in FAILURES])
def test_provider_failure_raises_one_error_with_a_short_cause(error: Exception, cause: str) -> None:
    sts = FakeSts()
    sts.error = error
    credentials = keeping(sts.found())
    credentials.refresh()
    with pytest.raises(CredentialsError) as caught:
        credentials.current()
    assert caught.value.cause == cause
    with pytest.raises(CredentialsError):
        credentials.for_obstore()


@pytest.mark.parametrize(("found", "cause"), [(None, "none found"), (Credentials("", ""), "incomplete")])
def test_missing_credentials_raise_the_same_error(found: Credentials | None, cause: str) -> None:
    credentials = keeping(found)
    assert credentials.found() is (found is not None)
    credentials.start()
    with pytest.raises(CredentialsError, match=cause):
        credentials.current()


def test_raising_provider_counts_as_found() -> None:
    def find() -> Credentials:
        raise CredentialRetrievalError(provider="container-role", error_msg="down")

    credentials = SessionCredentials(find)
    started.append(credentials)
    assert credentials.found()
    credentials.start()
    with pytest.raises(CredentialsError, match="CredentialRetrievalError"):
        credentials.current()


def test_credentials_are_used_until_expiry_while_sts_fails_and_recover() -> None:
    clock, sts = FakeClock(), FakeSts(300)
    credentials = keeping(sts.found(), clock)
    credentials.refresh()
    sts.error = client_error("AccessDenied")
    for _ in range(3):
        assert 0 < credentials.refresh() <= 10
    assert credentials.current().token == "token-1"
    clock.now += 301
    with pytest.raises(CredentialsError, match="AccessDenied"):
        credentials.current()
    sts.error = None
    credentials.refresh()
    assert credentials.current().token == f"token-{sts.asked}"


def test_thread_refreshes_before_the_expiry() -> None:
    sts = FakeSts(4)
    credentials = keeping(sts.found())
    credentials.start()
    seen: set[str | None] = set()
    while len(seen) < 2:  # the time limit of the test ends it
        seen.add(credentials.current().token)
        time.sleep(0.01)


def test_caller_waits_for_a_first_refresh_in_progress() -> None:
    sts = FakeSts()
    sts.may_answer.clear()
    credentials = keeping(sts.found())
    credentials.start()
    threading.Timer(0.1, sts.may_answer.set).start()
    assert credentials.current().token == "token-1"


def test_callers_with_valid_credentials_do_not_wait_for_sts() -> None:
    sts = FakeSts(300)
    credentials = keeping(sts.found())
    credentials.refresh()
    sts.may_answer.clear()
    hanging = threading.Thread(target=credentials.refresh)
    hanging.start()
    assert credentials.current().token == "token-1"
    sts.may_answer.set()
    hanging.join()


def test_outage_is_logged_once_per_change_of_state(caplog: pytest.LogCaptureFixture) -> None:
    clock, sts = FakeClock(), FakeSts(300)
    caplog.set_level(logging.INFO, "pillarbox_aws")
    credentials = keeping(sts.found(), clock)
    credentials.refresh()
    sts.error = client_error("AccessDenied")
    for _ in range(20):
        credentials.refresh()
    clock.now += 301
    for _ in range(20):
        credentials.refresh()
    sts.error = None
    for _ in range(20):
        credentials.refresh()
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("pillarbox_aws")]
    assert ours == [
        "AWS credentials cannot be refreshed: AccessDenied",
        "no valid AWS credentials are left; calls fail until they can be refreshed",
        "AWS credentials are refreshed again",
    ]


def test_failed_refresh_logs_no_traceback_of_botocore(caplog: pytest.LogCaptureFixture) -> None:
    new_session("eu-central-1")
    sts = FakeSts()
    sts.error = client_error("AccessDenied")
    keeping(sts.found()).refresh()
    assert [record.name for record in caplog.records if record.exc_info] == []
