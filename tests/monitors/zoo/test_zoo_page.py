"""The quick start of docs/monitors/zoo.md, as it stands there, with another port."""

from __future__ import annotations

import re
from pathlib import Path

from emperor_trio.model import Destroy, Touch
from tests.monitors.zoo.support import Znodes, off_loop, watching_znodes

PAGE = Path(__file__).parents[3] / "docs" / "monitors" / "zoo.md"


async def test_the_quick_start_starts_reloads_and_stops_a_vassal(znodes: Znodes) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    code = code.replace("127.0.0.1:2181", f"127.0.0.1:{znodes.server.port}").replace("/emperor/", f"{znodes.path}/")
    scope: dict[str, object] = {}
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there()
        parts = re.split(r"^input\(.*\n", code, flags=re.MULTILINE)
        assert len(parts) == 3
        for part, answer in zip(parts, (b"first", b"second", b""), strict=True):
            await off_loop(exec, part, scope)
            if answer:
                await watched.until_there("hello.ini")
                await watched.until(lambda answer=answer: answer in (watched.vassals["hello.ini"].config or b""))  # type: ignore[misc]
        await watched.until_there()
        assert [type(seen) for seen in watched.observations[1:]] == [Touch, Touch, Destroy]
        scope["zk"].close()  # type: ignore[attr-defined]


async def test_the_envelope_of_the_page_is_one(znodes: Znodes) -> None:
    (envelope,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    await off_loop(znodes.put, "a.ini", envelope.encode())
    async with watching_znodes(znodes.argument(), tyrant=True) as watched:
        await watched.until_there("a.ini")
        assert str(watched.vassals["a.ini"].owner) == "1000:1000"
        assert watched.vassals["a.ini"].socket == "127.0.0.1:3031"
