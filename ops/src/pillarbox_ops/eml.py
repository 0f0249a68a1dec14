"""Archived e-mails as e-mail files (RFC 5322, MIME) and as entries of an mbox. Pure: no I/O.

Header values come from senders: they are encoded one by one and never parsed, so that none can begin another header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr

from pillarbox.message import END_OF_TIMESTAMPS
from pillarbox_ops.attachments import Attachment, attachments_of
from pillarbox_ops.records import ArchivedEmail

_MAX_HEADER_CHARACTERS = 10_000
_MAX_NAME_CHARACTERS = 255
_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
_TYPE = re.compile(r"([a-z0-9][a-z0-9!#$&^_.+-]{0,126})/([a-z0-9][a-z0-9!#$&^_.+-]{0,126})")
_COMPOSITE = ("multipart", "message")  # these hold e-mails, not bytes
_POLICY = SMTP.clone(cte_type="7bit")
# "From " begins the next e-mail of an mbox; mboxrd quotes it, and what is quoted already, with one ">" more:
# https://www.rfc-editor.org/rfc/rfc4155 and https://doc.dovecot.org/main/core/config/mailbox_formats/mbox.html
_FROM_LINE = re.compile(rb"^(>*From )", re.MULTILINE)


def eml(email: ArchivedEmail) -> bytes:
    """Return an e-mail as a file with CRLF line ends. Attachments are restored where the record embeds them."""
    body = EmailMessage(policy=_POLICY)
    subtype = "html" if email.fields.get("content_type") == "text/html" else "plain"
    body.set_content(email.content, subtype=subtype, charset="utf-8")
    for attachment in attachments_of(email):
        if attachment.content is not None:
            _attach(body, attachment, attachment.content)
    return b"".join((*_headers(email), body.as_bytes()))


def mbox_entry(email: ArchivedEmail) -> bytes:
    """Return an e-mail as an entry of an mbox in the form mboxrd, with LF line ends."""
    sender = _name_and_address(email.sender)[1] or "MAILER-DAEMON"
    lines = _FROM_LINE.sub(rb">\1", eml(email).replace(b"\r\n", b"\n"))
    separator = f"From {sender} {_sent_at(email).ctime()}\n".encode()
    return separator + lines + (b"\n" if lines.endswith(b"\n") else b"\n\n")


def _headers(email: ArchivedEmail) -> Iterator[bytes]:
    message_id = _line(email.message_id).replace(" ", "")
    values = {
        "Date": format_datetime(_sent_at(email)),
        "From": _from(email.sender),
        "Subject": email.subject,
        "Message-ID": f"<{message_id}@pillarbox.invalid>",
        "X-Pillarbox-Id": message_id,
    }
    for name, value in values.items():
        text = _line(value)
        foldable = text.isascii() and max(map(len, text.split()), default=0) <= _MAX_NAME_CHARACTERS
        charset = "us-ascii" if foldable else "utf-8"
        folded = Header(text, charset, header_name=name).encode(linesep=_POLICY.linesep)
        yield f"{name}: {folded}{_POLICY.linesep}".encode("ascii")


def _line(text: str) -> str:
    """Return text as one line of bounded length."""
    return _BREAKS.sub(" ", text[:_MAX_HEADER_CHARACTERS]).strip()


def _from(sender: str) -> str:
    name, address = _name_and_address(_line(sender))
    return formataddr((name[:_MAX_NAME_CHARACTERS], address), "utf-8") if address else sender


def _name_and_address(sender: str) -> tuple[str, str]:
    """Return the parts of `Jane <jane@example.com>`; no address if it is of another form.

    The standard library's parser recurses as deep as a value has brackets.
    """
    name, bracket, rest = sender.strip().rpartition("<")
    address = rest.removesuffix(">") if bracket and rest.endswith(">") else sender.strip()
    return (name.strip().strip('"'), address) if _ADDRESS.fullmatch(address) else ("", "")


def _sent_at(email: ArchivedEmail) -> datetime:
    """Return the time that the e-mail names, else that of its receipt."""
    text = str(email.fields.get("email_timestream", ""))
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) < END_OF_TIMESTAMPS:
        return datetime.fromtimestamp(int(text), UTC)
    return email.received_at


def _attach(body: EmailMessage, attachment: Attachment, content: bytes) -> None:
    found = _TYPE.fullmatch(attachment.content_type.lower())
    major, minor = found.groups() if found and found[1] not in _COMPOSITE else ("application", "octet-stream")
    name = _line(attachment.file_name.replace("/", "_").replace("\\", "_"))[:_MAX_NAME_CHARACTERS]
    body.add_attachment(content, maintype=major, subtype=minor, filename=name or "attachment")
