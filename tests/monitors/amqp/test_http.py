"""Fetching a config: what each answer means, and that no server can do harm with one."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
import trio

from emperor_trio.errors import UsageError
from emperor_trio.monitors._http import (
    Answer,
    Denied,
    Fetched,
    Fetcher,
    Forbidden,
    HostPolicy,
    Unchanged,
    Unheard,
    make_trust,
    open_fetcher,
)
from tests.monitors.amqp.support import make_certificate
from tests.support.servers.http import Misbehave, Pages, serve_pages


@asynccontextmanager
async def fetching(*hosts: str, limit: float = 10.0, trust: ssl.SSLContext | None = None) -> AsyncIterator[Fetcher]:
    async with open_fetcher(HostPolicy(hosts), limit, trust or make_trust()) as fetcher:
        yield fetcher


def says(text: bytes) -> Misbehave:
    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(text)

    return write


def drips(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def floods(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(10_000):
        handler.wfile.write(b"x" * 10_000)


def redirects(to: str, status: int = 302) -> Misbehave:
    return says(f"HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


async def test_a_config_and_then_the_same(pages: Pages) -> None:
    pages.at["/a.ini"] = b"[uwsgi]\n"
    async with fetching() as fetcher:
        first = await fetcher.fetch(pages.url("/a.ini"))
        assert isinstance(first, Fetched)
        assert first.body == b"[uwsgi]\n"
        assert await fetcher.fetch(pages.url("/a.ini"), first.validators) == Unchanged()
        pages.at["/a.ini"] = b"[uwsgi]\nmaster = 1\n"
        second = await fetcher.fetch(pages.url("/a.ini"), first.validators)
        assert isinstance(second, Fetched)
        assert pages.headers[0].get("Accept-Encoding") == "identity"


@pytest.mark.parametrize("status", [204, 206, 300, 304, 400, 401, 404, 410, 500, 503])
async def test_any_other_answer_is_none(pages: Pages, status: int) -> None:
    pages.at["/a.ini"] = status
    async with fetching() as fetcher:
        assert await fetcher.fetch(pages.url("/a.ini")) == Denied(status)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (floods, "more than 65,535 bytes"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "protocol error"),
        (says(b"SSH-2.0-OpenSSH\r\n"), "protocol error"),
        (says(b""), "protocol error"),
        (says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"), "protocol error"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"), "compressed"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), "protocol error"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
async def test_what_is_no_answer(pages: Pages, answer: Misbehave, reason: str) -> None:
    pages.at["/a.ini"] = answer
    async with fetching() as fetcher:
        heard = await fetcher.fetch(pages.url("/a.ini"))
        assert isinstance(heard, Unheard)
        assert reason in heard.reason
        pages.at["/a.ini"] = b"good"
        assert isinstance(await fetcher.fetch(pages.url("/a.ini")), Fetched)


async def test_the_limit_is_for_the_whole_answer(pages: Pages) -> None:
    pages.at["/a.ini"] = drips
    async with fetching(limit=0.4) as fetcher:
        heard = await fetcher.fetch(pages.url("/a.ini"))
    assert heard == Unheard("no complete answer within 0.4 s")


async def test_nobody_there() -> None:
    async with fetching() as fetcher:
        heard = await fetcher.fetch("http://127.0.0.1:1/a.ini")
        assert heard == Unheard("connect error: Connection refused")
        heard = await fetcher.fetch("http://nowhere.invalid/a.ini")
        assert isinstance(heard, Unheard)
        assert heard.reason.startswith("connect error: its name can't be resolved: ")


async def test_redirects_are_followed_a_few_times(pages: Pages) -> None:
    pages.at["/a.ini"] = redirects("/b")
    pages.at["/b"] = redirects(pages.url("/c"), 307)
    pages.at["/c"] = b"[uwsgi]"
    pages.at["/round"] = redirects("/round")
    async with fetching() as fetcher:
        found = await fetcher.fetch(pages.url("/a.ini"))
        assert isinstance(found, Fetched)
        assert await fetcher.fetch(pages.url("/a.ini"), found.validators) == Unchanged()
        assert pages.asked[-3][1] is None, "the validators of one URL were quoted to another"
        assert await fetcher.fetch(pages.url("/round")) == Unheard("more than 5 redirects")


@pytest.mark.parametrize(
    "to",
    [
        "http://other.example/a", "ftp://127.0.0.1/a", "file:///etc/passwd", "http://u:p@127.0.0.1/", "http://[/",
        "http://127.0.0.1:70000/", "//other.example/a",
    ],
)  # fmt: skip
async def test_redirects_to_where_one_may_not_go(pages: Pages, to: str) -> None:
    pages.at["/a.ini"] = redirects(to)
    async with fetching("127.0.0.1") as fetcher:
        assert isinstance(await fetcher.fetch(pages.url("/a.ini")), Forbidden)


async def test_the_policy_is_asked_before_the_host_is(pages: Pages) -> None:
    async with fetching(f"127.0.0.1:{pages.port + 1}", "*.example") as fetcher:
        answer: Answer = await fetcher.fetch(pages.url("/a.ini"))
        assert isinstance(answer, Forbidden)
        assert f"127.0.0.1:{pages.port}" in answer.reason
    assert not pages.asked


async def test_cookies_and_the_environment_are_ignored(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    pages.extra["Set-Cookie"] = "a=b"
    pages.at["/a.ini"] = b"[uwsgi]"
    async with fetching() as fetcher:
        for _ in range(2):
            assert isinstance(await fetcher.fetch(pages.url("/a.ini")), Fetched)
    assert not [headers for headers in pages.headers if "Cookie" in headers]


async def test_over_tls_only_who_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with serve_pages(context) as pages, serve_pages() as plain:
        pages.at["/a.ini"] = b"[uwsgi]"
        pages.at["/down.ini"] = redirects(plain.url("/a.ini"))
        async with fetching() as fetcher:
            heard = await fetcher.fetch(pages.url("/a.ini"))
            assert isinstance(heard, Unheard)
            assert "certificate" in heard.reason
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with fetching(trust=make_trust()) as fetcher:
            assert isinstance(await fetcher.fetch(pages.url("/a.ini")), Fetched)
            assert await fetcher.fetch(pages.url("/down.ini")) == Forbidden("it redirects from https to http")


async def test_many_at_once_and_cancelled(pages: Pages) -> None:
    pages.at["/a.ini"] = b"[uwsgi]"
    pages.at["/slow.ini"] = drips
    async with fetching() as fetcher:
        with trio.move_on_after(0.1):
            await fetcher.fetch(pages.url("/slow.ini"))
        answers: list[Answer] = []

        async def fetch() -> None:
            answers.append(await fetcher.fetch(pages.url("/a.ini")))

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(fetch)
        assert len(answers) == 50
        assert all(isinstance(answer, Fetched) for answer in answers)


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        ((), "http://anything/", True),
        (("a.example",), "http://a.example:81/", True),
        (("A.Example",), "http://a.EXAMPLE./", True),
        (("a.example:80",), "http://a.example/", True),
        (("a.example:443",), "https://a.example/", True),
        (("a.example:443",), "http://a.example/", False),
        (("a.example",), "http://b.a.example/", False),
        (("*.example",), "http://a.example/", True),
        (("*.example",), "http://b.a.example/", True),
        (("*.example",), "http://example/", False),
        (("*.example",), "http://badexample/", False),
        (("[::1]:8080",), "http://[::1]:8080/", True),
        (("127.0.0.1",), "http://127.0.0.1@evil.example/", False),
        (("a", "b"), "http://b/", True),
    ],
)
def test_policies(hosts: tuple[str, ...], url: str, allowed: bool) -> None:
    assert HostPolicy(hosts).allows(httpx.URL(url)) is allowed


@pytest.mark.parametrize("text", ["", "http://a/", "a/b", "*.*", "*", "a:port", "a b", "a:99999", "a:0"])
def test_wrong_policies(text: str) -> None:
    with pytest.raises(UsageError, match="--emperor-http-host"):
        HostPolicy((text,))
