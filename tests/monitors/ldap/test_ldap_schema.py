"""The schema that ships with us, as the command prints it, imported into a real slapd in both of its forms."""

# python-ldap makes its names only when it is loaded.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import ldap  # type: ignore[import-untyped]
import pytest

from emperor_trio.cli.main import main
from tests.support.servers.common import folder
from tests.support.servers.slapd import Slapd, vassal

DYNAMIC = """\
dn: cn=config
objectClass: olcGlobal
cn: config

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif

"""


def printed(*arguments: str) -> str:
    command = Path(sys.executable).parent / "emperor-trio"
    return subprocess.run([command, "ldap-schema", *arguments], capture_output=True, check=True, text=True).stdout


def test_the_schema_is_in_use(pushing: Slapd) -> None:
    """The servers of all these tests include it: values are judged by it, and can be searched for and deleted alone."""
    base = pushing.add_base()
    pushing.add(f"cn=one,{base}", vassal("one", env=["A=1", "B=2"], master="TRUE"))
    client = pushing.client()
    with pytest.raises(ldap.INVALID_SYNTAX):
        client.modify_s(f"cn=one,{base}", [(ldap.MOD_REPLACE, "uWSGImaster", [b"yes"])])
    client.modify_s(f"cn=one,{base}", [(ldap.MOD_DELETE, "uWSGIenv", [b"A=1"])])
    found = client.search_s(base, ldap.SCOPE_SUBTREE, "(&(uWSGIenv=B=2)(uWSGImaster=TRUE))", ["uwsgienv"])
    assert found == [(f"cn=one,{base}", {"uWSGIenv": [b"B=2"]})]
    client.unbind_s()


def test_the_ldif_goes_into_a_dynamic_configuration() -> None:
    with folder("slapadd") as path:
        (path / "slapd.d").mkdir()
        (path / "all.ldif").write_text(DYNAMIC + printed("--ldif"))
        command: list[str | Path] = ["slapadd", "-n0", "-F", path / "slapd.d", "-l", path / "all.ldif"]
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        kept = subprocess.run(["slapcat", "-n0", "-F", path / "slapd.d"], capture_output=True, check=True, text=True)
        unfolded = kept.stdout.replace("\n ", "")
        names = re.findall(r"olcAttributeTypes: .*NAME '(uWSGI\w+)'", unfolded)
        assert len(names) == len(re.findall(r"(?m)^attributetype ", printed()))
        assert "NAME 'uWSGIConfig'" in unfolded


def test_the_generated_file_is_what_the_tool_makes_of_the_options() -> None:
    """And making it again changes no number: what is in a directory is known by it."""
    target = Path(__file__).parents[3] / "src/emperor_trio/cli/uwsgi.schema"
    before = target.read_text()
    tool = target.parents[3] / "tools/ldap_schema.py"
    made = subprocess.run([sys.executable, tool, "-"], capture_output=True, check=True, text=True).stdout
    assert made == before
    numbers = re.findall(r"\.4\.(\d+) NAME", before)
    assert len(set(numbers)) == len(numbers)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ldap-schema"]) == 0
    assert "NAME 'uWSGIConfig'" in capsys.readouterr().out
    assert main(["ldap-schema", "--ldif"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("dn: cn=uwsgi,cn=schema,cn=config\n")
    assert max(map(len, text.splitlines())) <= 76
    assert main(["ldap-schema", "--xml"]) == 2
    assert "--ldif" in capsys.readouterr().err
