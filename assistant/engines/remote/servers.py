"""The servers: what each is, which are alive, and whose turn it is."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ...errors import EngineError
from ...libraries import installing
from ...network import proxy_for
from ...words import Text
from .failures import Failure, broken, failure_of, unusable_proxies
from .settings import Address, RemoteSettings

if TYPE_CHECKING:
    import openai

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
LOOK_SECONDS = 10.0  # a server that needs longer to list its models is not alive
NO_KEY = "none"  # the client insists on one; servers without keys ignore it
CONTEXT_FIELDS = ("max_model_len", "context_length", "context_window", "max_context_length")


class Server:
    """One address, and what is known of the server behind it."""

    def __init__(self, address: Address, settings: RemoteSettings):
        self.address = address
        self.settings = settings
        self.client = _client(address, settings)
        self.model = settings.model
        self.models: tuple[str, ...] = ()
        self.context_length: int | None = None
        self.is_llamacpp = False  # llama.cpp has its own names for some of the sampling
        self.refused: set[str] = set()  # optional fields that it does not take
        self.alive = False

    async def look(self) -> None:
        """Ask for its models, or else its health; sets what is known. Raises Failure."""
        try:
            listed = await self._get(self.address.base + "/models")
        except Exception as error:
            status = getattr(error, "status_code", None)
            if status not in (404, 405, 500, 501):
                raise self.failure(error) from None
            listed = None
            await self._look_at_health(strictly=status == 500)
        if listed is not None:
            self._read_models(listed)
        if not self.model:
            raise Failure(_no_model(self.address.name))
        self.alive = True

    async def _look_at_health(self, strictly: bool) -> None:
        """Any answer that is no server error will do, as providers have no such address; `strictly`
        only a good one (a server whose list of models fails may still answer)."""
        try:
            await self._get(self.address.root + "/health")
        except Exception as error:
            if strictly or not 400 <= (getattr(error, "status_code", None) or 0) < 500:
                raise self.failure(error) from None

    def _read_models(self, listed: Any) -> None:
        cards = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(cards, list):
            raise broken(self.address.name, Text("lists no models", "没有列出模型"))
        known = {str(card["id"]): card for card in cards if isinstance(card, dict) and "id" in card}
        self.models = tuple(known)
        self.model = self.settings.model or next(iter(known), "")
        card = known.get(self.model, {})
        self.context_length = _context_length(card)
        self.is_llamacpp = card.get("owned_by") == "llamacpp"

    def failure(self, error: Exception) -> Failure:
        """What an exception of this server's client means."""
        if isinstance(error, Failure):
            return error
        proxy = None if self.address.here else proxy_for(self.address.root)
        return failure_of(
            error, self.address.name, self.settings.key, self.settings.key_variable, proxy
        )

    async def _get(self, url: str) -> Any:
        return await self.client.get(
            url,
            cast_to=object,
            options={"timeout": min(LOOK_SECONDS, self.settings.timeout_seconds)},
        )

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST to an address beside the protocol's own; its JSON answer."""
        return await self.client.post(
            self.address.root + path, cast_to=object, body=body, options={"timeout": LOOK_SECONDS}
        )


class Servers:
    """All configured servers; the living ones take turns."""

    def __init__(self, settings: RemoteSettings):
        self._settings = settings
        self.all = [Server(Address.of(url), settings) for url in settings.urls]
        self._turns = itertools.count()
        for server in self.all:
            if server.address.plain and settings.key:
                logger.warning("the key travels unencrypted to %s (http)", server.address.name)

    async def look(self) -> None:
        """Look at all of them. Raises EngineError where none can be used."""
        looks = await asyncio.gather(
            *(server.look() for server in self.all), return_exceptions=True
        )
        for outcome in looks:
            if isinstance(outcome, Failure):
                logger.warning("left out for now: %s", outcome.error.message.en)
            elif isinstance(outcome, BaseException):
                raise outcome
        if not any(server.alive for server in self.all):
            raise _none_alive([look.error for look in looks if isinstance(look, Failure)])

    def next(self, tried: Sequence[Server] = ()) -> Server:
        """Whose turn it is: of the living ones not tried yet; else of the living; else of all."""
        alive = [server for server in self.all if server.alive]
        fresh = [server for server in alive if server not in tried]
        choice = fresh or alive or [one for one in self.all if one not in tried] or self.all
        return choice[next(self._turns) % len(choice)]

    def another(self, tried: Sequence[Server]) -> bool:
        """Whether a living one has not been tried yet."""
        return any(server.alive and server not in tried for server in self.all)

    async def watch(self) -> None:
        """Look at dead servers again and again, for ever."""
        while True:
            await asyncio.sleep(self._settings.recheck_seconds)
            dead = [server for server in self.all if not server.alive]
            await asyncio.gather(*(_revive(server) for server in dead))

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(server.client.close() for server in self.all))


async def _revive(server: Server) -> None:
    try:
        await server.look()
    except Failure:
        return
    logger.info("%s answers again", server.address.name)


def _client(address: Address, settings: RemoteSettings) -> openai.AsyncOpenAI:
    try:
        import openai
    except ImportError as error:
        raise EngineError(
            "unavailable",
            Text(f"The openai client is not installed: {error}.", f"没有安装 openai：{error}。"),
            installing("openai"),
        ) from None
    try:
        # this machine is never behind a proxy, whatever HTTP_PROXY says
        http_client = openai.DefaultAsyncHttpxClient(trust_env=not address.here)
    except Exception as error:  # what it says of a proxy variable that it cannot use
        raise unusable_proxies(address, error) from None
    client = openai.AsyncOpenAI(
        base_url=address.base,
        api_key=settings.key or NO_KEY,
        timeout=openai.Timeout(settings.timeout_seconds, connect=CONNECT_SECONDS),
        max_retries=0,  # retried here, where it is known whether text has gone out
        http_client=http_client,
    )
    client.organization = client.project = None  # OpenAI's variables are not for other servers
    return client


def _context_length(card: dict[str, Any]) -> int | None:
    """What a model's card says: vLLM's and providers' fields, llama.cpp's `meta`."""
    meta = card.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    found = [card.get(field) for field in CONTEXT_FIELDS] + [
        meta.get("n_ctx"),
        meta.get("n_ctx_train"),
    ]
    return next((length for length in found if isinstance(length, int) and length > 0), None)


def shown_model(model: str) -> str:
    """A model's name for people: of a path on the server only the last part."""
    return PurePosixPath(model).name if model.startswith("/") else model


def _no_model(name: str) -> EngineError:
    return EngineError(
        "unavailable",
        Text(f"The server {name} lists no models.", f"服务器 {name} 没有列出模型。"),
        Text('Name one: [serve.remote] model = "…"', '请指定：[serve.remote] model = "…"'),
    )


def _none_alive(errors: list[EngineError]) -> EngineError:
    if len(errors) == 1:
        return errors[0]
    cure = next((error.cure for error in errors if error.cure), None)
    return EngineError(
        "unavailable",
        Text(
            "No server can be used:\n" + "\n".join(f"  {error.message.en}" for error in errors),
            "没有可用的服务器：\n" + "\n".join(f"  {error.message.zh}" for error in errors),
        ),
        cure,
    )
