"""The same configs read by real uWSGI, which prints what it made of them (``--show-config``), and by our readers."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from emperor_trio.formats import Configuration, Item, Magic

UWSGI = "/usr/bin/uwsgi-core"
FORMATS = {"ini": "a.ini", "yaml": "a.yaml", "json": "a.json", "xml": "a.xml"}
CONFIG_KEYS = {"ini", "yaml", "json", "xml", "include", "inherit", "set", "set-placeholder", "show-config", "no-server"}

CASES = {
    "ini": r"""
; a comment
# another
   [uwsgi]
foo = bar
  indented=1
key with spaces = val = ue # no comment
novalue
empty =
"q" = "quoted"
cont = a \
 b
file = %n %d %p %P %s %S %x %X %e %E %o %O %i %I %c %C %0 %1 %2 %j %J
process = %v %h %u %U %g %G %k %% %[
set = one=hello
set-placeholder = two=world
p1 = %(one) %(two) %(nope) %(foo)
env1 = $(HOME) $(NOPE) $() (x)
file1 = <@(inc.txt)> <@(inc.txt)>
n1 = 3
math = [%(n1 + 5)] [%(n1 n1 + 1)] [%(n1 - 10)] [%(n1 * n1)] [%(7 / n1)] [%(n1 / 0)] [%(n1 ++)] [%(n1 --)] [%(nope 1)]
[other]
foo = other
[uwsgi]
foo = again
include = sub/inc.ini
after = %(foo) %p %(frominc)
""",
    "yaml": """
other:
  a: 1
uwsgi:
  chdir: %d/x
  master: true
  oct: 0644
  tilde: ~
  q: "a # b" # c
  s: 'it''s'
  list:
    - one
    - two
  flow: [x, y]
  pct: 50%% of
  ref: "%(master) $(HOME)"
  after: 1
next:
  z: 1
""",
    "json": """
/* a comment */
{"x": {"a": 1}, "uwsgi": {"s": "v", "t": true, "f": false, "n": null, "i": 12, "d": 1.50, "e": 1e3,
 "l": ["a", 1, true], "s": "again", // another
 "m": "%n %d", "esc": "\\u00e9 \\" \\\\", "ref": "%(i) $(HOME)"}}
""",
    "xml": """<?xml version="1.0"?>
<!-- a comment -->
<uwsgi>
  <master/>
  <empty></empty>
  <amp>a &amp; b &#65;</amp>
  <cd><![CDATA[x < y]]></cd>
  <withid id="one">1</withid>
  <withmode mode="dev">2</withmode>
  <m>%n</m>
  <ref>%(m) $(HOME)</ref>
</uwsgi>
""",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/inc.ini").write_text("[uwsgi]\nfrominc = %s %S %p %P\n")
    (tmp_path / "inc.txt").write_text("from file\n")
    return tmp_path


def by_uwsgi(*arguments: str) -> list[tuple[str, str]]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("UWSGI_")}
    # Without a server it prints its config and leaves.
    ran = subprocess.run(
        [UWSGI, *arguments, "--show-config", "--no-server"],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30,
    )  # fmt: skip
    printed = ran.stdout.decode("utf-8", "surrogateescape")
    found = re.search(r"\n\[uwsgi\]\n(.*?);end of configuration", printed, re.DOTALL)
    assert found, printed
    pairs = [line.split(" = ", 1) for line in found[1].splitlines() if " = " in line]
    return [(key, value) for key, value in pairs if key not in CONFIG_KEYS]


def by_us(*options: tuple[str, str]) -> list[tuple[str, str | None]]:
    configuration = Configuration(lambda: Magic().of_process("x"), os.environ)
    for key, value in options:
        configuration.add(Item(key, value, ""))
    configuration.finish()
    return [(entry.item.key, configuration.expand(entry)) for entry in configuration.entries]


@pytest.mark.parametrize("form", FORMATS)
def test_same_as_uwsgi(form: str) -> None:
    Path(FORMATS[form]).write_text(CASES[form])
    assert by_us((form, FORMATS[form])) == by_uwsgi(f"--{form}", FORMATS[form])


def test_same_order_as_uwsgi() -> None:
    Path("a.ini").write_text("[uwsgi]\nk = 1\ninherit = inh.ini\ninclude = sub/inc.ini\nk = 2\n")
    Path("inh.ini").write_text("[uwsgi]\nk = 3\nl = %s %S\n")
    theirs = by_uwsgi("--set", "k=0", "--ini", "a.ini", "--set", "k=4")
    assert by_us(("set", "k=0"), ("ini", "a.ini"), ("set", "k=4")) == theirs


def test_same_through_a_link() -> None:
    Path("a.ini").write_text("[uwsgi]\nk = %n %p %d %i %j\n")
    Path("sub/link.ini").symlink_to("../a.ini")
    assert by_us(("ini", "sub/link.ini")) == by_uwsgi("--ini", "sub/link.ini")


def test_same_section_as_uwsgi() -> None:
    Path("a.ini").write_text("[uwsgi]\nk = 1\n[two]\nk = %x %X %o\n")
    assert by_us(("ini", "a.ini:two")) == by_uwsgi("--ini", "a.ini:two")
    Path("a.xml").write_text("<c><uwsgi id='one'><k>1</k></uwsgi><uwsgi id='two'><k>%x</k></uwsgi></c>")
    assert by_us(("xml", "a.xml:two")) == by_uwsgi("--xml", "a.xml:two")
