import json
from datetime import UTC, datetime

import pytest

from pillarbox.s3_events import ObjectCreated, parse_events
from pillarbox_ops.enqueue import File, Listed, event, listed, place_of
from pillarbox_ops.errors import OpsError

CREATED_AT = datetime(2026, 11, 20, 10, tzinfo=UTC)


def _file(key: str = "inbox/a.eml", version: str = "v1", size: int = 5) -> File:
    return File("inbox", key, version, "d41d8cd9", size, CREATED_AT)


@pytest.mark.parametrize("key", ["a b+c.eml", "é/ü.eml", "100%.eml", "\u202e\x1b.eml", "k" * 1024])
@pytest.mark.parametrize("version", ["v1", ""])
def test_the_intake_reads_an_event_as_the_file_that_it_stands_for(key: str, version: str) -> None:
    body = json.dumps(event(_file(key, version), "eu-west-1"))
    assert parse_events(body) == [ObjectCreated("inbox", key, version or None, "d41d8cd9", 5)]


def test_a_place_is_a_bucket_and_a_prefix() -> None:
    assert place_of("s3://bucket/a/b") == ("bucket", "a/b")
    assert place_of("s3://bucket") == place_of("s3://bucket/") == ("bucket", "")
    with pytest.raises(OpsError, match="expected s3://BUCKET/PREFIX, got 'bucket/a'"):
        place_of("bucket/a")


def test_a_list_has_the_number_the_size_and_five_files() -> None:
    found = [_file(str(number)) for number in range(7)]
    assert listed(found) == Listed(7, 35, found[:5])
