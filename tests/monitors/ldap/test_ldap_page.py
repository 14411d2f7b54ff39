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
    (script,) = [block for block in blocks if block.startswith("ldapadd -x")]
    commands = re.findall(r"ldap\w+ .*?(?:END\n.*?\nEND\n|\n)", script, re.DOTALL)
    assert [command.split()[0] for command in commands] == ["ldapadd", "ldapmodify", "ldapdelete"]
    pushing.add_base("vassals")
    async with watching_ldap(f"ldap://{pushing.address}/ou=vassals,{SUFFIX}") as watched:
        await watched.until_there()
        for command, config in zip(commands, ("3031", "3032", None), strict=True):
            ready = command.replace(" -W", f" -w {PASSWORD} -H ldap://{pushing.address}")
            await trio.run_process(["sh", "-c", ready], capture_stdout=True, stderr=subprocess.STDOUT)
            if config is None:
                await watched.until_there()
            else:
                await watched.until_there("hello.ini")
                wanted = f"[uwsgi]\nhttp-socket = 127.0.0.1:{config}\nmaster = true\n".encode()
                await watched.until(lambda wanted=wanted: watched.vassals["hello.ini"].config == wanted)  # type: ignore[misc]
