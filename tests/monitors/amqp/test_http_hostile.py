"""Answers of hostile HTTP servers that once did harm: each of them costs only its own vassal its news."""

from __future__ import annotations

import pytest

from emperor_trio.model import MAX_CONFIG
from emperor_trio.monitors._http import Fetched, Forbidden, Unheard
from tests.monitors.amqp.test_http import fetching, redirects, says
from tests.support.servers.http import Pages

CONFIG = b"[uwsgi]\n"


@pytest.mark.parametrize("to", ["mailto:x", "ftp:a.ini", "http:a.ini", "http::", "a:b:c"])
async def test_a_redirect_to_an_address_without_a_path(pages: Pages, to: str) -> None:
    pages.at["/a.ini"] = redirects(to)
    async with fetching() as fetcher:
        assert isinstance(await fetcher.fetch(pages.url("/a.ini")), Unheard | Forbidden)


@pytest.mark.parametrize("tag", [b'"\xe4\xff"', '"ü€"'.encode()])
async def test_a_tag_that_is_no_ascii_is_not_quoted(pages: Pages, tag: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Length: %d\r\n\r\n%s" % (tag, len(CONFIG), CONFIG)
    pages.at["/a.ini"] = says(answer)
    async with fetching() as fetcher:
        first = await fetcher.fetch(pages.url("/a.ini"))
        assert isinstance(first, Fetched)
        assert isinstance(await fetcher.fetch(pages.url("/a.ini"), first.validators), Fetched)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n"])
async def test_garbage_that_is_quoted_is_cut(pages: Pages, start: bytes) -> None:
    """To look for passwords in all of it took seconds, in which nothing else went on."""
    pages.at["/a.ini"] = says(start + b"://a:" * (MAX_CONFIG // 4) + b"\r\n\r\n")
    async with fetching() as fetcher:
        answer = await fetcher.fetch(pages.url("/a.ini"))
        assert isinstance(answer, Unheard)
        assert len(answer.reason) < 500
