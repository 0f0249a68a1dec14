from typing import Any

import pytest

from pillarbox_ops.attachments import Attachment, attachments_of

from .emails import email_of


def test_the_attachments_of_a_file_are_listed_without_content() -> None:
    entry = {"file_name": "a.pdf", "content_type": "application/pdf", "size_bytes": 7, "sha256": "0f"}
    assert attachments_of(email_of({"attachments": [entry]})) == [Attachment("a.pdf", "application/pdf", 7, "0f")]


@pytest.mark.parametrize(
    ("entry", "content"),
    [
        ({"filename": "a", "content": "aGVs bG8="}, b"hello"),
        ({"name": "a", "data": "not base64!"}, b"not base64!"),
        ({"name": "a", "body": ""}, b""),
        ({"name": "a", "content": "\u00e4"}, "\u00e4".encode()),
    ],
)
def test_what_a_client_embeds_is_decoded_and_measured(entry: dict[str, Any], content: bytes) -> None:
    (found,) = attachments_of(email_of(attachments=[entry]))
    assert (found.file_name, found.content, found.size_bytes) == ("a", content, len(content))


@pytest.mark.parametrize("value", ["text", None, 3, ["text", None], [[]]])
def test_a_field_of_another_form_holds_no_attachments(value: object) -> None:
    assert attachments_of(email_of(attachments=value)) == []


def test_values_of_other_kinds_do_not_fail() -> None:
    (found,) = attachments_of(email_of(attachments=[{"name": 3, "type": None, "size": True, "content": 5}]))
    assert found == Attachment("3", "", None, "")


def test_the_content_is_not_in_the_repr() -> None:
    assert "hidden" not in repr(Attachment("hidden", "text/plain", 6, "", b"hidden"))
