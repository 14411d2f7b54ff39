"""The quick start of docs/monitors/mongodb.md, as it stands there, with another port and collection."""

from __future__ import annotations

import re
from pathlib import Path

import trio

from emperor_trio.model import Destroy, Touch
from emperor_trio.testing.conformance import watching
from tests.monitors.mongodb.support import Vassals

PAGE = Path(__file__).parents[3] / "docs" / "monitors" / "mongodb.md"


async def test_the_quick_start_starts_reloads_and_stops_a_vassal(vassals: Vassals) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    code = code.replace("127.0.0.1:27017", vassals.server.address).replace(".emperor.vassals", f".{vassals.namespace}")
    scope: dict[str, object] = {}
    async with watching(vassals) as watched:
        await watched.until_there()
        parts = re.split(r"^input\(.*\n", code, flags=re.MULTILINE)
        assert len(parts) == 3
        for part, answer in zip(parts, (b"first", b"second", b""), strict=True):
            await trio.to_thread.run_sync(exec, part, scope)
            if answer:
                await watched.until_there("hello.ini")
                await watched.until(lambda answer=answer: answer in (watched.vassals["hello.ini"].config or b""))  # type: ignore[misc]
        await watched.until_there()
        assert [type(seen) for seen in watched.observations[1:]] == [Touch, Touch, Destroy]
    scope["vassals"].database.client.close()  # type: ignore[attr-defined]
