"""Fetching one config by HTTP: which hosts may be asked, for how long, how much is taken, and what the answer means.

The server and its answer are hostile. What follows from an answer is for the monitor to decide.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy

import httpx
import trio

from emperor_trio.errors import UsageError
from emperor_trio.masking import masked
from emperor_trio.model import MAX_CONFIG
from emperor_trio.monitors._plain import explain

MOST_REDIRECTS = 5
AT_ONCE = 8
"""Fetches of one monitor that are under way at one time."""

LONGEST_VALIDATOR = 1024
"""Characters of an ETag or a date that are kept; a longer one is no better than none."""

SAID = 300
"""Characters of an error that are told: it may quote all that a server sent."""

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?ai)(\*\.)?(\[[0-9a-f:.]+\]|[\w-]+(\.[\w-]+)*)\.?(:(\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Fetched:
    """200. ``validators`` are to be quoted with the next question, "" where there are none."""

    body: bytes
    validators: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """304, to a question that quoted validators."""


@dataclass(frozen=True, slots=True)
class Denied:
    """Any other answer."""

    status: int


@dataclass(frozen=True, slots=True)
class Unheard:
    """No answer that counts as one: refused, too slow, not to be trusted, too large."""

    reason: str


@dataclass(frozen=True, slots=True)
class Forbidden:
    """The options don't allow to ask there."""

    reason: str


Answer = Fetched | Unchanged | Denied | Unheard | Forbidden


class HostPolicy:
    """``--emperor-http-host``: HOST, HOST:PORT, or ``*.DOMAIN`` for all hosts below; without any, every host.

    Raises :class:`~emperor_trio.errors.UsageError` for a text that is none of these.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self._allowed: list[tuple[str, int | None]] = []
        for text in hosts:
            found = _HOST.fullmatch(text.strip())
            if found is None or not 0 < int(found[5] or 1) < 65_536:
                raise UsageError(f"--emperor-http-host {masked(text)}: is no HOST, HOST:PORT or *.DOMAIN")
            host = ((found[1] or "") + found[2].strip("[]")).lower()
            self._allowed.append((host, int(found[5]) if found[5] else None))

    def allows(self, url: httpx.URL) -> bool:
        """Whether the host and port of a URL may be asked."""
        host, port = _host_of(url), url.port or _PORTS[url.scheme]
        return not self._allowed or any(
            (host == name or (name.startswith("*.") and host.endswith(name[1:]))) and wanted in (None, port)
            for name, wanted in self._allowed
        )


def read_url(text: str) -> httpx.URL:
    """An http or https URL. Raises :class:`ValueError` that says what is wrong.

    A name is shown in logs, in statistics and to every user by ``ps``: a password has no place in it.
    """
    if any(ord(character) <= 32 or ord(character) == 127 for character in text):
        raise ValueError("no URL may hold spaces or control characters")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"is no URL: {error}") from None
    if url.scheme not in _PORTS or not url.host or not 0 < (url.port or 1) < 65_536:
        raise ValueError("is no http:// or https:// URL with a host")
    if url.userinfo:
        raise ValueError("no user and password may stand in it: the name of a vassal is seen by everybody")
    if url.fragment:
        raise ValueError("no fragment (#) may stand in it")
    return url


def make_trust() -> ssl.SSLContext:
    """Whom to believe that they are who they say: the system's own list (or that of ``SSL_CERT_FILE``)."""
    return ssl.create_default_context()


class Fetcher:
    """Fetches configs each over a connection of its own. Obtained from :func:`open_fetcher`."""

    def __init__(self, client: httpx.AsyncClient, policy: HostPolicy, limit: float) -> None:
        self._client = client
        self._policy = policy
        self._limit = limit

    async def fetch(self, text: str, validators: str = "") -> Answer:
        """Ask for a URL; never raises for what a server does. ``validators`` are those of the last answer, if any."""
        try:
            with trio.fail_after(self._limit):
                return await self._follow(read_url(text), validators)
        except trio.TooSlowError:
            return Unheard(f"no complete answer within {self._limit:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:  # the latter of a redirect, of which httpx thinks ahead
            return Unheard(_explain(error))
        except ValueError as error:
            return Forbidden(f"it, or where it redirects to, {error}")

    async def _follow(self, url: httpx.URL, validators: str) -> Answer:
        quoted_at, quoted = _read_validators(validators)
        for _ in range(MOST_REDIRECTS + 1):
            if not self._policy.allows(url):
                return Forbidden(f"--emperor-http-host does not name {_host_of(url)}:{url.port or _PORTS[url.scheme]}")
            headers = quoted if quoted_at == str(url) else {}
            async with self._client.stream("GET", url, headers=headers) as response:
                if not response.has_redirect_location:
                    return await _read(response, conditional=bool(headers))
                following = _join(url, response.headers["location"])
            if url.scheme == "https" and following.scheme == "http":
                return Forbidden("it redirects from https to http")
            url = following
        return Unheard(f"more than {MOST_REDIRECTS} redirects")


@asynccontextmanager
async def open_fetcher(policy: HostPolicy, limit: float, context: ssl.SSLContext) -> AsyncIterator[Fetcher]:
    """A fetcher for as long as the block lasts; ``limit`` is in seconds, for one fetch with all its redirects.

    Neither proxies nor passwords are taken from the environment or from ``.netrc``, and no cookie is.
    """
    async with httpx.AsyncClient(
        verify=context,
        trust_env=False,
        follow_redirects=False,
        timeout=limit,
        # A kept connection may be closed at its other end just as it is used again, and the question is lost.
        limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0),
        headers={"User-Agent": "emperor-trio", "Accept": "*/*", "Accept-Encoding": "identity"},
    ) as client:
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield Fetcher(client, policy, limit)


def _join(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return read_url(str(url.join(location)))
    except httpx.InvalidURL as error:
        raise ValueError(f"is no URL: {error}") from None


async def _read(response: httpx.Response, *, conditional: bool) -> Answer:
    if response.status_code == httpx.codes.NOT_MODIFIED and conditional:
        return Unchanged()
    if response.status_code != httpx.codes.OK:
        return Denied(response.status_code)
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return Unheard("it sends the config compressed, though it was not asked to")
    body = bytearray()
    with trio.CancelScope() as enough:  # to leave the loop instead would leave httpx's generators unfinished
        async for part in response.aiter_raw():
            body += part
            if len(body) > MAX_CONFIG:
                enough.cancel()
    if len(body) > MAX_CONFIG:
        return Unheard(f"it sends more than {MAX_CONFIG:,} bytes, the most that the emperor protocol carries")
    return Fetched(bytes(body), _write_validators(response))


def _write_validators(response: httpx.Response) -> str:
    """They belong to the URL that answered, which another one may have redirected to."""
    given = {
        question: response.headers.get(answer, "")
        for question, answer in (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
    }  # only ASCII can be quoted as it came
    found = {name: text for name, text in given.items() if 0 < len(text) <= LONGEST_VALIDATOR and text.isascii()}
    return json.dumps({"at": str(response.url)} | found) if found else ""


def _read_validators(text: str) -> tuple[str, dict[str, str]]:
    try:
        found = json.loads(text or "{}")
        return str(found.pop("at", "")), {str(name): str(value) for name, value in found.items()}
    except (ValueError, AttributeError):
        return "", {}


def _host_of(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii").strip("[]").lower().rstrip(".")


def _explain(error: httpx.HTTPError | httpx.InvalidURL) -> str:
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, OSError):  # the system's own word is the plainest
        reason = reason.__cause__ or reason.__context__
    said = explain(reason) if reason else str(error)
    return " ".join(masked(f"{kind}: {said or 'the connection broke'}"[:SAID]).split())
