"""GET /api/messages/<message_id>: its answers, how it waits, and what it refuses."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from flask import Request
from werkzeug.test import TestResponse

from pillarbox.ids import message_id_at, new_message_id, time_of
from pillarbox.object_key import KeyTemplate, conflict_prefix
from pillarbox.probe import new_probe_id, probe_key
from service1_api import error_handlers, request_log
from service1_api.app import LeanFlask
from service1_api.status import (
    KEY_UNKNOWN,
    NOT_SET,
    ArchivedObject,
    ArchiveUnavailableError,
    Places,
    StatusSource,
    Waiting,
    location_of,
    status_routes,
    wait_seconds,
)

from .conftest import Service
from .fakes import TOKEN, FakeArchive, FakeClock, new_metrics
from .server import EMAIL

TEMPLATE = KeyTemplate("{prefix}{date:%Y/%m/%d}/{message_id}.json", "messages/")
ARCHIVED = ArchivedObject(datetime(2026, 12, 10, 14, 30, 22, tzinfo=UTC), 321, "ab" * 32)
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Rig:
    """The route with an archive in memory; time passes only in its pauses."""

    def __init__(self, *, requests: int = 4, waiting: int = 2) -> None:
        self.archive = FakeArchive()
        self.clock = FakeClock()
        self.pauses: list[float] = []
        self.on_pause: Callable[[], None] = lambda: None
        self.ends = False
        self.app = LeanFlask("service1_api")
        metrics = new_metrics()
        request_log.register(self.app, metrics)
        error_handlers.register(self.app, metrics)
        places = Places(requests=requests, waiting=waiting)
        how = Waiting(lambda: self.ends, self.clock, self._sleep)
        self.app.register_blueprint(status_routes(self._authorize, StatusSource(self.archive, TEMPLATE), places, how))

    def _authorize(self, request: Request) -> None:
        """Accept everybody."""

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.sleep(seconds)
        self.on_pause()

    def ask(self, message_id: str, prefer: str | None = None) -> TestResponse:
        headers = {"Prefer": prefer} if prefer else {}
        return self.app.test_client().get(location_of(message_id), headers=headers)


def key_of(message_id: str) -> str:
    return TEMPLATE.key(message_id, time_of(message_id), "")


@pytest.mark.parametrize("conflict", [False, True])
def test_archived_email_is_described(conflict: bool) -> None:
    rig, message_id = Rig(), new_message_id()
    rig.archive.objects[key_of(message_id)] = ARCHIVED
    below = conflict_prefix(message_id if conflict else new_message_id(), time_of(message_id))
    rig.archive.objects[f"{below}digest.json"] = ARCHIVED
    response = rig.ask(message_id.upper())
    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
    assert response.get_json() == {
        "message_id": message_id,
        "status": "archived",
        "archived_at": "2026-12-10T14:30:22.000Z",
        "size": 321,
        "sha256": "ab" * 32,
        "conflict": conflict,
    }
    assert "Preference-Applied" not in response.headers


@pytest.mark.parametrize(
    ("age", "again"),
    [
        (timedelta(0), True),
        (timedelta(days=13, hours=23), True),
        (timedelta(days=14, minutes=1), False),
        (timedelta(minutes=-5), True),
    ],
    ids=str,
)
def test_email_that_is_not_there_is_asked_for_again_while_a_queue_may_hold_it(age: timedelta, again: bool) -> None:
    response = Rig().ask(message_id_at(datetime.now(UTC) - age, bytes(10)))
    assert (response.status_code, response.get_json()["code"]) == (404, "not_archived")
    assert ("Retry-After" in response.headers) == again


@pytest.mark.parametrize(
    "text", ["x", "00000000-0000-4000-8000-000000000000", "%7B%7D", "019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a100"]
)
def test_malformed_id_is_refused(text: str) -> None:
    rig = Rig()
    response = rig.app.test_client().get(f"/api/messages/{text}")
    assert (response.status_code, response.get_json()["code"]) == (400, "invalid_message_id")
    assert rig.archive.looks == 0


def test_archive_that_does_not_answer_is_503() -> None:
    rig = Rig()

    def fail() -> None:
        raise ArchiveUnavailableError("SlowDown")

    rig.archive.before = fail
    for prefer in (None, "wait=5"):
        response = rig.ask(new_message_id(), prefer)
        assert (response.status_code, response.get_json()["code"]) == (503, "store_unavailable")
        assert "Retry-After" in response.headers


# ---- Prefer: wait ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=5", 5),
        ("wait=3", 3),
        ("WAIT = 2", 2),
        ('wait="4"', 4),
        ("wait=100", 5),
        ("wait=0", 0),
        ("respond-async, wait=2", 2),
        ("wait=1; note=x, handling=lenient", 1),
        ("wait=1, wait=4", 1),  # only the first instance counts
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait", 0),
        ("wait=", 0),
        ("nowait=3", 0),
        ("wait=12345678901234567890", 0),
        ("wait=" + "9" * 8000, 0),
    ],
)
def test_time_to_wait_is_read_from_the_preference(header: str | None, seconds: int) -> None:
    assert wait_seconds(header) == seconds


def test_request_waits_until_the_email_is_there() -> None:
    rig, message_id = Rig(), new_message_id()

    def store_at_last() -> None:
        if rig.clock.now > 1002:
            rig.archive.objects[key_of(message_id)] = ARCHIVED

    rig.on_pause = store_at_last
    response = rig.ask(message_id, "wait=5")
    assert (response.status_code, response.headers["Preference-Applied"]) == (200, "wait=5")
    assert 1002 < rig.clock.now < 1003
    assert rig.pauses == sorted(rig.pauses)


@pytest.mark.parametrize(("prefer", "seconds"), [("wait=5", 5), ("wait=2", 2), ("wait=60", 5)])
def test_request_waits_no_longer_than_it_may(prefer: str, seconds: int) -> None:
    rig = Rig()
    response = rig.ask(new_message_id(), prefer)
    assert (response.status_code, response.headers["Preference-Applied"]) == (404, f"wait={seconds}")
    assert rig.clock.now == pytest.approx(1000 + seconds)
    assert 3 < rig.archive.looks < 12


def test_request_without_the_preference_does_not_wait() -> None:
    rig = Rig()
    assert "Preference-Applied" not in rig.ask(new_message_id()).headers
    assert (rig.pauses, rig.archive.looks) == ([], 1)


def test_wait_ends_when_the_service_drains() -> None:
    rig = Rig()

    def drain() -> None:
        rig.ends = len(rig.pauses) >= 2

    rig.on_pause = drain
    assert rig.ask(new_message_id(), "wait=5").status_code == 404
    assert len(rig.pauses) == 2
    rig.pauses.clear()
    assert rig.ask(new_message_id(), "wait=5").status_code == 404
    assert rig.pauses == []


def test_failed_look_ends_the_wait_and_frees_its_place() -> None:
    rig = Rig(requests=1, waiting=1)

    def fail_later() -> None:
        if rig.pauses:
            raise ArchiveUnavailableError("SlowDown")

    rig.archive.before = fail_later
    assert rig.ask(new_message_id(), "wait=5").status_code == 503
    rig.archive.before = lambda: None
    assert rig.ask(new_message_id(), "wait=5").headers["Preference-Applied"] == "wait=5"


# ---- places ----------------------------------------------------------------------------------------------------------


def test_request_that_finds_no_place_to_wait_is_answered_at_once_and_one_without_any_place_is_503() -> None:
    rig = Rig(requests=3, waiting=2)
    pausing, go_on = threading.Semaphore(0), threading.Event()

    def hold() -> None:
        pausing.release()
        assert go_on.wait(10)

    rig.on_pause = hold
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(rig.ask, new_message_id(), "wait=1") for _ in range(2)]
        for _ in waiting:
            assert pausing.acquire(timeout=10)
        third = rig.ask(new_message_id(), "wait=1")
        assert (third.status_code, "Preference-Applied" in third.headers) == (404, False)

        looking, looked = threading.Event(), threading.Event()

        def look() -> None:
            looking.set()
            assert looked.wait(10)

        rig.archive.before = look
        held = threads.submit(rig.ask, new_message_id())
        assert looking.wait(10)
        fourth = rig.ask(new_message_id())
        assert (fourth.status_code, fourth.get_json()["code"]) == (503, "overloaded")
        rig.archive.before = lambda: None
        looked.set()
        go_on.set()
        assert [answer.result().status_code for answer in (*waiting, held)] == [404] * 3
    rig.on_pause = lambda: None
    assert rig.ask(new_message_id(), "wait=1").headers["Preference-Applied"] == "wait=1"


# ---- in the application ----------------------------------------------------------------------------------------------


@pytest.fixture
def service() -> Service:
    return Service(status=StatusSource(FakeArchive(), TEMPLATE))


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}],
    ids=["none", "wrong", "basic"],
)
def test_status_needs_the_token(service: Service, headers: dict[str, str]) -> None:
    for path in (location_of(new_message_id()), "/api/messages/x"):
        response = service.client.get(path, headers=headers)
        assert (response.status_code, response.get_json()["code"]) == (401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert service.client.get(location_of(new_message_id()), headers=BEARER).status_code == 404


def test_status_is_503_while_the_token_cannot_be_checked(service: Service) -> None:
    service.tokens.ready = False
    response = service.client.get(location_of(new_message_id()), headers=BEARER)
    assert (response.status_code, response.get_json()["code"]) == (503, "token_unavailable")


def test_answer_to_an_email_says_where_its_status_is(service: Service) -> None:
    response = service.client.post("/api/message", json={"data": EMAIL, "token": TOKEN})
    assert response.headers["Location"] == f"/api/messages/{response.get_json()['message_id']}"
    assert service.client.get(response.headers["Location"], headers=BEARER).get_json()["code"] == "not_archived"


def test_status_route_that_is_off_is_501() -> None:
    response = Service(status=NOT_SET).client.get(location_of(new_message_id()), headers=BEARER)
    assert (response.status_code, response.get_json()["code"]) == (501, "status_unavailable")
    assert response.get_json()["detail"] == NOT_SET


def test_wait_ends_with_the_drain_of_the_application() -> None:
    service = Service(status=StatusSource(FakeArchive(), TEMPLATE))
    service.draining = True  # else this test would take 5 s
    response = service.client.get(location_of(new_message_id()), headers=BEARER | {"Prefer": "wait=5"})
    assert (response.status_code, response.headers["Preference-Applied"]) == (404, "wait=5")


def test_request_is_counted_by_its_route(service: Service) -> None:
    service.client.get(location_of(new_message_id()), headers=BEARER)
    labels = {"route": "/api/messages/<message_id>", "status": "404"}
    assert service.registry.get_sample_value("pillarbox_api_requests_total", labels) == 1


def test_the_status_of_a_probe_is_found_by_its_id() -> None:
    rig, message_id = Rig(), new_probe_id()
    rig.archive.objects[probe_key(message_id)] = ARCHIVED
    assert rig.ask(message_id).status_code == 200


def test_an_email_whose_id_only_looks_like_that_of_a_probe_is_found() -> None:
    rig, message_id = Rig(), new_probe_id()
    rig.on_pause = lambda: rig.archive.objects.update({key_of(message_id): ARCHIVED})
    assert rig.ask(message_id).status_code == 404
    assert rig.ask(message_id, "wait=5").status_code == 200


def test_without_a_template_only_a_probe_is_found_and_any_other_id_is_501() -> None:
    archive, message_id = FakeArchive(), new_probe_id()
    archive.objects[probe_key(message_id)] = ARCHIVED
    service = Service(status=StatusSource(archive, None))
    answers = [service.client.get(location_of(i), headers=BEARER) for i in (message_id, new_message_id())]
    assert [answer.status_code for answer in answers] == [200, 501]
    assert (answers[1].get_json()["code"], answers[1].get_json()["detail"]) == ("status_unavailable", KEY_UNKNOWN)
    assert service.client.get(location_of(new_probe_id()), headers=BEARER).status_code == 404


@pytest.mark.parametrize("status", [NOT_SET, StatusSource(FakeArchive(), None)], ids=["off", "no template"])
def test_no_answer_leads_to_a_status_that_cannot_be_told(status: StatusSource | str) -> None:
    posted = Service(status=status).client.post("/api/message", json={"data": EMAIL, "token": TOKEN})
    assert (posted.status_code, "Location" in posted.headers) == (200, False)
