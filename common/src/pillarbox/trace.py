"""W3C Trace Context (https://www.w3.org/TR/trace-context/): `traceparent` and `tracestate`; and AWS's trace headers."""

import re
import secrets

# Version ff is forbidden; a version above 00 may have more fields after the flags.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MAX_LENGTH = 256

_MAX_STATE_LENGTH = 512  # the least that an implementation should pass on; a longer one is dropped as a whole
_MAX_STATE_MEMBERS = 32
_STATE_MEMBER = re.compile(
    r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)

# https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
_AMZN_ROOT = re.compile(r"(?:^|;)\s*Root=1-([0-9a-f]{8})-([0-9a-f]{24})(?=;|$)")
_AMZN_PARENT = re.compile(r"(?:^|;)\s*Parent=([0-9a-f]{16})(?=;|$)")
_AMZN_SAMPLED = re.compile(r"(?:^|;)\s*Sampled=1(?=;|$)")


def new_traceparent() -> str:
    """Start a new trace: random trace and span ids, sampled flag unset."""
    digits = secrets.token_hex(24)  # one system call for both
    return f"00-{digits[:32]}-{digits[32:]}-00"


def parse(text: str) -> str | None:
    """Return a valid traceparent in version 00, or None for anything else."""
    found = _TRACEPARENT.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if not found or (found[1] == "00" and found[5]):
        return None
    return f"00-{found[2]}-{found[3]}-{found[4]}"


def parse_state(text: str) -> str:
    """Return a valid tracestate of at most 512 characters without empty members, or an empty string."""
    if not text or len(text) > _MAX_STATE_LENGTH:
        return ""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    if len(members) > _MAX_STATE_MEMBERS or not all(map(_STATE_MEMBER.fullmatch, members)):
        return ""
    return ",".join(members)


def from_amzn(text: str) -> str | None:
    """Return the traceparent that an `X-Amzn-Trace-Id` or an `AWSTraceHeader` stands for.

    None if it names no span: a load balancer sends a Root without a Parent.
    """
    root, parent = _AMZN_ROOT.search(text[:_MAX_LENGTH]), _AMZN_PARENT.search(text[:_MAX_LENGTH])
    if not (root and parent):
        return None
    return parse(f"00-{root[1]}{root[2]}-{parent[1]}-{'01' if _AMZN_SAMPLED.search(text[:_MAX_LENGTH]) else '00'}")


def trace_id(traceparent: str) -> str:
    """Return the 32 hex digits that all spans of a trace share."""
    return traceparent[3:35]


def span_id(traceparent: str) -> str:
    """Return the 16 hex digits of the span."""
    return traceparent[36:52]


def is_sampled(traceparent: str) -> bool:
    """Return whether the sampled flag is set."""
    return bool(int(traceparent[53:55], 16) & 1)
