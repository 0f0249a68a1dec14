from pathlib import Path

import pytest

from pillarbox_ops.errors import OpsError

from .running import services_of

VARIABLES = {
    "AWS_REGION": "eu-west-1",
    "SQS_QUEUE_URL": "http://127.0.0.1:1/0/emails",
    "SQS_DLQ_URL": "http://127.0.0.1:1/0/dlq",
    "FILES_QUEUE_URL": "http://127.0.0.1:1/0/files",
    "FILES_DLQ_URL": "http://127.0.0.1:1/0/files-dlq",
    "API_URL": "http://127.0.0.1:1",
}


def test_the_queues_that_are_named_are_shown_each_beside_its_dead_letters(tmp_path: Path) -> None:
    assert list(services_of(VARIABLES, tmp_path).all_queues) == [
        "emails",
        "dead-letters",
        "files",
        "files-dead-letters",
    ]
    less = {name: value for name, value in VARIABLES.items() if "FILES" not in name}
    assert list(services_of(less, tmp_path).all_queues) == ["emails", "dead-letters"]


def test_each_queue_judges_its_own_messages(tmp_path: Path) -> None:
    queues = services_of(VARIABLES, tmp_path).all_queues
    assert queues["emails"].judge("x", {}).reason == "invalid_json"
    assert queues["files"].judge("x", {}).reason == "not_an_event"
    assert queues["files-dead-letters"].dead_letters


def test_a_missing_bucket_is_an_error_of_the_archive_only(tmp_path: Path) -> None:
    services = services_of(VARIABLES, tmp_path)
    assert services.all_queues
    with pytest.raises(OpsError, match="S3_BUCKET_NAME is not set"):
        _ = services.emails


def test_the_figures_come_from_the_addresses_of_the_services(tmp_path: Path) -> None:
    sampler = services_of(VARIABLES, tmp_path).sampler
    assert (sampler.api_url, sampler.consumer_url) == ("http://127.0.0.1:1", "")
