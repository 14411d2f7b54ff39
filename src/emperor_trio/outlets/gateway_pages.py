"""The dashboard's files, served from memory: what is in their folder at the start, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files

from emperor_trio.outlets.http_head import TEXT, Answer, Request

INDEX = "index.html"

TYPES: Mapping[str, str] = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "json": "application/json",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
    "txt": TEXT,
}
"""Content types by the end of a name. A file of another kind is not served."""


def dashboard() -> dict[str, Answer]:
    """Every file of the dashboard by its path; the first page is ``/``."""
    pages: dict[str, Answer] = {}
    folder = files("emperor_trio.outlets") / "dashboard"
    for file in folder.iterdir() if folder.is_dir() else ():
        kind = TYPES.get(file.name.rpartition(".")[2])
        if kind is not None and file.is_file():
            body = file.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            page = Answer(200, body, kind, (("ETag", etag),), cache="no-cache")
            pages["/" if file.name == INDEX else f"/{file.name}"] = page
    return pages


def unless_known(request: Request, page: Answer) -> Answer:
    """The page, or 304 where the browser has just this one."""
    [etag] = [value for name, value in page.headers if name == "ETag"]
    known = [word.removeprefix("W/") for word in request.words("if-none-match")]
    if etag in known or "*" in known:
        return Answer(304, headers=page.headers, cache=page.cache)
    return page
