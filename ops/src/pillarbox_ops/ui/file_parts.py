"""The parts of an e-mail file, of which a record lists the attachments. Pure: no I/O."""

import email
import email.policy
import hashlib


def part_of(raw: bytes, sha256: str) -> bytes | None:
    """Return the decoded part of an e-mail (RFC 5322, MIME) that has a SHA-256; None if none has it."""
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    for part in message.walk():
        if part.is_multipart() and part.get_content_type() != "message/rfc822":
            continue
        content = part.get_payload(decode=True)
        if isinstance(content, bytes) and hashlib.sha256(content).hexdigest() == sha256:
            return content
    return None
