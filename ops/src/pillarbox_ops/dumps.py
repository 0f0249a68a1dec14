"""The lines of a dump of dead letters: one JSON object a message, which gives exactly the message back.

Text outside of ASCII is escaped, so that a body comes back unchanged whatever it holds.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from pillarbox.message import rfc3339
from pillarbox_ops.dead_letters import DeadLetter, Judge, strings
from pillarbox_ops.errors import ExitCode, OpsError


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is no text")
    return value


# pydantic's own texts refuse the unpaired surrogates that a body may hold.
_Text = Annotated[str, PlainValidator(_text)]


class _Attribute(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    type: str = Field(min_length=1)
    text: _Text | None = None
    base64: str | None = None


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    sqs_message_id: str = Field(min_length=1)
    sent_at: AwareDatetime
    receives: int
    reason: str
    attributes: dict[_Text, _Attribute]
    trace_header: str = ""
    body: Annotated[_Text, Field(min_length=1)]


def line_of(letter: DeadLetter) -> str:
    """Return the line of a message, without its end."""
    fields = {
        "sqs_message_id": letter.sqs_message_id,
        "sent_at": rfc3339(letter.sent_at),
        "receives": letter.receives,
        "reason": letter.reason,
        "attributes": plain_attributes(letter),
        "trace_header": letter.trace_header,
        "body": letter.body,
    }
    return json.dumps(fields)


def plain_attributes(letter: DeadLetter) -> dict[str, dict[str, str]]:
    """Return the message attributes as JSON can carry them: the type, and a text or bytes in base64."""
    plain = {}
    for name, value in letter.attributes.items():
        plain[name] = {"type": str(value["DataType"])}
        if "BinaryValue" in value:
            plain[name]["base64"] = b64encode(value["BinaryValue"]).decode()
        else:
            plain[name]["text"] = str(value.get("StringValue", ""))
    return plain


def letter_from(line: str, judge: Judge) -> DeadLetter:
    """Return the message of a line, judged anew. Raise ValueError, whose text quotes nothing, for any other line."""
    try:
        # Not pydantic's parser of JSON, which refuses unpaired surrogates as well.
        found = _Line.model_validate(json.loads(line))
        attributes = {name: _attribute(value) for name, value in found.attributes.items()}
    except ValidationError as exc:
        place = ".".join(str(part) for part in exc.errors(include_input=False)[0]["loc"]) or "the line"
        raise ValueError(f"is no line of a dump: {place}") from None
    except (ValueError, RecursionError):
        raise ValueError("is no line of a dump") from None
    return DeadLetter(
        found.sqs_message_id,
        found.body,
        attributes,
        found.sent_at.astimezone(UTC),
        found.receives,
        judge(found.body, strings(attributes)),
        found.trace_header,
    )


def read_dump(path: Path, judge: Judge) -> Iterator[DeadLetter]:
    """Yield the messages of a dump. Raise OpsError, with the number of the line, if one is wrong."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield letter_from(line, judge)
                    except ValueError as exc:
                        raise OpsError(f"{path}, line {number} {exc}") from None
    except OSError as exc:
        raise OpsError(f"{path} cannot be read: {exc.strerror}", ExitCode.USAGE) from None
    except UnicodeDecodeError:
        raise OpsError(f"{path} is no dump: it is not in UTF-8") from None


def _attribute(value: _Attribute) -> dict[str, Any]:
    if value.base64 is not None:
        return {"DataType": value.type, "BinaryValue": b64decode(value.base64, validate=True)}
    return {"DataType": value.type, "StringValue": value.text or ""}
