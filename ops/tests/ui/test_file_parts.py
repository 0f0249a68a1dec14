from email.message import EmailMessage
from hashlib import sha256

from pillarbox_ops.ui.file_parts import part_of


def _message(*contents: bytes) -> bytes:
    message = EmailMessage()
    message.set_content("Text")
    for content in contents:
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename="x")
    return bytes(message)


def test_an_attachment_is_found_by_its_hash_whatever_its_place() -> None:
    raw = _message(b"one", b"\x00\xfftwo")
    assert part_of(raw, sha256(b"\x00\xfftwo").hexdigest()) == b"\x00\xfftwo"


def test_another_hash_and_a_file_that_is_no_email_give_nothing() -> None:
    assert part_of(_message(b"one"), sha256(b"two").hexdigest()) is None
    assert part_of(b"\x00\xff", "a" * 64) is None
