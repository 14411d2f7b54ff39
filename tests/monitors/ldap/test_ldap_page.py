"""The quick start of docs/monitors/ldap.md, run as it stands but for the server's address and its password."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import trio

from tests.support.ldap_source import watching_ldap
from tests.support.servers.slapd import PASSWORD, SUFFIX, Slapd

PAGE = Path(__file__).parents[3] / "docs/monitors/ldap.md"


async def test_the_quick_start(pushing: Slapd) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    scripts = [re.sub("^(curl|sleep) .*\n", "", block, flags=re.MULTILINE) for block in blocks if " -W" in block]
    assert [script.split()[0] for script in scripts] == ["ldapadd", "ldapmodify", "ldapdelete"]
    async with watching_ldap(f"ldap://{pushing.address}/ou=vassals,{SUFFIX}") as watched:
        for script, answer in zip(scripts, (b'b"first"', b'b"second"', b""), strict=True):
            ready = script.replace(" -W", f" -w {PASSWORD} -H ldap://{pushing.address}")
            await trio.run_process(["sh", "-c", ready], capture_stdout=True, stderr=subprocess.STDOUT)
            if answer:
                await watched.until_there("hello.ini")
                await watched.until(lambda answer=answer: answer in (watched.vassals["hello.ini"].config or b""))  # type: ignore[misc]
            else:
                await watched.until_there()
