"""One large file of the Hugging Face Hub, going on where the last attempt was cut off."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ..verify import Expected, matches

PATIENCE = 5  # attempts in a row that bring nothing
PIECE = 1 << 20
PART = ".part"


def fetch_file(url: str, file: Path, expected: Expected) -> None:
    """Download `url` to `file`, through `<file>.part`, by ranges of HTTP.

    Uses huggingface_hub's own session: its proxy, certificates, token and user agent.
    Raises what that session raises when several attempts in a row brought nothing.
    """
    if matches(file, expected):
        return
    size = expected.size or 0
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    part = file.with_name(file.name + PART)
    if _size(part) > size:
        part.unlink()
    idle = 0
    while (have := _size(part)) < size:
        try:
            _append(url, part, have, size)
            problem: Exception = ConnectionError(f"the answer ended after {_size(part):,} bytes")
        except Exception as error:
            status = _status(error)
            if status == 416:
                break  # the server's file ends here, too early: the check of its size will say so
            if status < 500 and status != 429 and not _connection_broke(error):
                raise
            problem = error
        idle = 0 if _size(part) > have else idle + 1
        if idle >= PATIENCE:
            raise problem
        if _size(part) < size:
            time.sleep(min(8, 0.5 * 2**idle) if idle else 0)
    part.replace(file)


def _append(url: str, part: Path, have: int, size: int) -> None:
    """One request, from byte `have` on, until the server ends or breaks it."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore

    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    session = get_session()
    with session.stream(
        "GET", url, headers=headers, timeout=timeout, follow_redirects=True
    ) as response:
        hf_raise_for_status(response)
        goes_on = response.status_code == 206 and _starts_at(response, have)
        with part.open("ab" if goes_on else "wb") as out:
            for piece in response.iter_bytes(PIECE):
                out.write(piece)
                if out.tell() > size:
                    return  # too long: the check of size and hash will say so


def _starts_at(response: Any, have: int) -> bool:
    served: str = response.headers.get("Content-Range", "")
    return served.startswith(f"bytes {have}-")


def _status(error: Exception) -> int:
    """The HTTP status behind an exception; 0 where there is none."""
    return int(getattr(getattr(error, "response", None), "status_code", None) or 0)


def _connection_broke(error: Exception) -> bool:
    # httpx under huggingface_hub 1.x, httpx2 under 2.x: known by the name of their base class.
    return any(base.__name__ == "TransportError" for base in type(error).__mro__)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
