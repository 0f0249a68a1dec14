"""The client's address and the load balancer's trace, as far as the proxies in front are trusted."""

import ipaddress
import re
from functools import lru_cache
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRACE_ID = re.compile(r"[A-Za-z0-9=;:_\-]{1,256}")


def client_address(peer: str, forwarded_for: str | None, trusted_proxy_hops: int) -> str:
    """Return the client's address as the outermost trusted proxy saw it.

    Each proxy appends the address of its caller, so only the last `trusted_proxy_hops` entries can be trusted; the
    client can send any entries before them.
    """
    address = peer
    if trusted_proxy_hops and forwarded_for:
        entries = forwarded_for.split(",")
        address = entries[-min(trusted_proxy_hops, len(entries))].strip()
    return str(parsed(address) or parsed(peer))


def amzn_trace_id(header: str | None, trusted_proxy_hops: int) -> str | None:
    """Return the X-Amzn-Trace-Id of a load balancer in front; None if the client may have set it."""
    return header if trusted_proxy_hops and header and _TRACE_ID.fullmatch(header) else None


@lru_cache(maxsize=1024)
def parsed(text: str) -> Address | None:
    """Parse an address, with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1]:80."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address
