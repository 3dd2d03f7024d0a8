"""Who is asking: the address behind a request, and whether that is this machine."""

from __future__ import annotations

from starlette.requests import Request

from .listen import is_loopback

# A proxy on this machine is at a loopback address as well; by these it says for whom it asks. So the
# names of its headers begin.
FORWARDED = (
    "forwarded",
    "x-forwarded-",
    "x-real-ip",
    "x-client-ip",
    "via",
    "cf-connecting-ip",
    "true-client-ip",
)


def visitor_of(request: Request, trusted_proxies: int) -> str:
    """The visitor's address.

    Behind `trusted_proxies` proxies of one's own each adds the address it was called from to
    X-Forwarded-For; what stands further left the visitor may have made up. With 0 the header is
    not looked at.
    """
    forwarded = [
        part.strip()
        for part in request.headers.get("x-forwarded-for", "").split(",")
        if part.strip()
    ]
    if trusted_proxies and forwarded:
        return forwarded[-min(trusted_proxies, len(forwarded))]
    client = request.client
    return client.host if client else ""


def asks_from_here(request: Request) -> bool:
    """Tell whether a program of this machine asks, and for nobody else."""
    client = request.client
    forwarded = any(name.startswith(FORWARDED) for name in request.headers.keys())  # noqa: SIM118
    return not forwarded and client is not None and is_loopback(client.host)
