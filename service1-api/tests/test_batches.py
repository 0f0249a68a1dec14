"""POST /api/messages: results of the items, and the status of the whole."""

import pytest

from service1_api.outgoing import QueueUnavailableError

from .conftest import Service
from .test_messages import EMAIL, code_of, failing, post


def test_batch_answers_item_by_item_in_order(service: Service) -> None:
    response = post(service.client, "/api/messages", [EMAIL, {"email_subject": 7}, EMAIL | {"n": 2}])

    assert response.status_code == 207
    body = response.get_json()
    assert (body["status"], body["queued"]) == ("partial", 2)
    assert [(r["index"], r["status"]) for r in body["results"]] == [(0, "success"), (1, "error"), (2, "success")]
    assert body["results"][1]["problem"]["errors"][0]["pointer"] == "#/data/1/email_subject"
    assert [m.attributes["message_id"] for m in service.publisher.published] == [
        body["results"][0]["message_id"],
        body["results"][2]["message_id"],
    ]


@pytest.mark.parametrize("count", [1, 100])
def test_batch_queued_completely_is_200(service: Service, count: int) -> None:
    response = post(service.client, "/api/messages", [EMAIL] * count)
    assert response.status_code == 200
    assert response.get_json()["queued"] == count
    assert len({m.attributes["message_id"] for m in service.publisher.published}) == count


@pytest.mark.parametrize("data", [[], [EMAIL] * 101, EMAIL, None])
def test_batch_holds_1_to_100_emails(service: Service, data: object) -> None:
    response = post(service.client, "/api/messages", data)
    assert code_of(response) == "invalid_data"
    assert not service.publisher.published


def test_batch_with_no_queued_item_is_503_if_a_retry_may_succeed(service: Service) -> None:
    failing(QueueUnavailableError("deadline"), service)
    response = post(service.client, "/api/messages", [{}, EMAIL])
    assert code_of(response) == "queue_unavailable"
    assert [r["problem"]["code"] for r in response.get_json()["results"]] == ["invalid_data", "queue_unavailable"]


def test_batch_of_invalid_items_is_400_without_a_call_to_the_queue(service: Service) -> None:
    assert code_of(post(service.client, "/api/messages", [{}, 7])) == "invalid_data"
    assert not service.publisher.published
