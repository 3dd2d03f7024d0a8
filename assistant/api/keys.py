"""Who may ask: a program of this machine where nobody else reaches the server, else who has a key."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.requests import Request

from ..config import ApiTable, Config
from ..serving.limits import VisitorRate
from ..serving.listen import PASSWORD_VARIABLE, ListenAddress, is_loopback
from ..serving.visitors import asks_from_here
from .errors import ApiError

KEYS_VARIABLE = "ASSISTANT_PAGE_KEYS"  # several, with commas; never a flag, a file or part of a URL


def door_of(
    place: ListenAddress,
    config: Config,
    *,
    alone: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Door:
    """The door of a server, with the keys of the environment. `alone`: there is no page, whose password
    says that not all of this machine may talk; and a person asked for the API itself."""
    named = (key.strip() for key in environment.get(KEYS_VARIABLE, "").split(","))
    keys = tuple(dict.fromkeys(key for key in named if key))
    password = bool(environment.get(PASSWORD_VARIABLE)) and not alone
    return Door(place, config.serve.api, keys, password=password, alone=alone)


class Door:
    """Lets requests in. `keys` are kept as digests; each has its own rate.

    A server that only this machine reaches (a loopback address, no proxy in front, no password)
    asks its programs for no key. Web pages may reach it there as well, through a visitor's browser:
    so a name that is not this machine's (DNS rebinding) or a page of another origin is refused.
    """

    def __init__(
        self,
        place: ListenAddress,
        table: ApiTable,
        keys: tuple[str, ...],
        *,
        password: bool = False,
        alone: bool = False,
    ):
        hosted = place.host_name != "own"
        self.enabled = (alone or not hosted) if table.enabled == "auto" else table.enabled
        self.needs_key = place.public or bool(place.root_path) or password
        self.origins = table.origins
        self._digests = tuple(_digest(key.encode()) for key in keys)
        self._rate = VisitorRate(table.per_minute)

    @property
    def has_keys(self) -> bool:
        """Whether any key would be taken."""
        return bool(self._digests)

    def admit(self, request: Request) -> str | None:
        """Who asks: the key by its number, None for a program of this machine. Raises ApiError."""
        if not self.enabled:
            raise ApiError(
                403, "The API is switched off here. Its owner can switch it on: [serve.api] enabled = true "
                f"in assistant.toml, and keys in {KEYS_VARIABLE}.", "api_disabled",
            )  # fmt: skip
        why_not = self._why_not_without_key(request)
        if why_not is None:
            return None
        given = _given_keys(request)
        if (number := self._number(given)) is not None:
            return f"key {number}"
        if not self._digests:
            raise why_not
        if given:
            raise ApiError(401, "Incorrect API key provided.", "invalid_api_key")
        raise ApiError(
            401, "You didn't provide an API key: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.",
            "invalid_api_key",
        )  # fmt: skip

    def count(self, caller: str | None) -> None:
        """Count an answer of a key. Raises BusyError when there were too many in a minute."""
        if caller is not None:
            self._rate.check(caller)

    def _number(self, given: list[bytes]) -> int | None:
        """Which key was given; all are compared, whichever fits."""
        found = None
        for digest in map(_digest, given):
            for number, key in enumerate(self._digests, 1):
                if secrets.compare_digest(digest, key):
                    found = number
        return found

    def _why_not_without_key(self, request: Request) -> ApiError | None:
        if self.needs_key or not asks_from_here(request):
            return ApiError(
                403, "The API needs a key here, and its owner has set none: "
                f"set {KEYS_VARIABLE} where it is started.", "api_disabled",
            )  # fmt: skip
        host = request.headers.get("host", "")
        if not _is_this_machine(host):
            return ApiError(
                403, "Without a key the API answers to localhost alone, not to the host in this request.",
                "host_not_allowed",
            )  # fmt: skip
        origin = request.headers.get("origin")
        if origin is None or origin in self.origins or urlsplit(origin).netloc == host:
            return None
        return ApiError(
            403, "Web pages of that origin may not ask. Its owner can let them: [serve.api] origins in "
            "assistant.toml.", "origin_not_allowed",
        )  # fmt: skip


def _digest(key: bytes) -> bytes:
    return sha256(key).digest()


def _given_keys(request: Request) -> list[bytes]:
    """From `Authorization` and from `X-API-Key`: hosts may keep the former for themselves."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token if scheme.lower() == "bearer" else ""
    found = (bearer, request.headers.get("x-api-key", ""))
    return [key.strip().encode("latin-1") for key in found if key.strip()]


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)
