"""Gathering options: uWSGI's order, includes, sections, and that no include runs in a circle."""

from __future__ import annotations

from pathlib import Path

import pytest

from emperor_trio.errors import UsageError
from emperor_trio.formats import READERS, Configuration, Item, Magic, is_config, is_logic


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text)


def gather(*options: tuple[str, str | None], environ: dict[str, str] | None = None) -> list[tuple[str, str | None]]:
    configuration = Configuration(Magic, environ or {})
    for key, value in options:
        configuration.add(Item(key, value, ""))
    configuration.finish()
    return [(entry.item.key, configuration.expand(entry)) for entry in configuration.entries]


def test_a_config_stands_where_it_is_named() -> None:
    write("a.ini", "[uwsgi]\nb = 2\n")
    assert gather(("a", "1"), ("ini", "a.ini"), ("c", None)) == [("a", "1"), ("b", "2"), ("c", None)]


def test_include_stands_in_its_place_and_inherit_at_the_end() -> None:
    write("a.ini", "[uwsgi]\na = 1\ninherit = sub/inh.ini\ninclude = sub/inc.yaml\nb = %(inh) %(inc)\n")
    write("sub/inc.yaml", "uwsgi:\n  inc: '%s %S'\n")
    write("sub/inh.ini", "[uwsgi]\ninh = %n %N\n")
    assert gather(("ini", "a.ini")) == [
        ("a", "1"),
        ("inc", "inc.yaml a.ini"),
        ("b", "inh a inc.yaml a.ini"),
        ("inh", "inh a"),
    ]


def test_another_section_of_the_same_file() -> None:
    write("a.ini", "[uwsgi]\ninclude = b.ini\nini = :two\n[two]\na = %x of %s\n")
    write("b.ini", "[uwsgi]\n")
    assert gather(("ini", "a.ini")) == [("a", "two of a.ini")]
    assert gather(("ini", "a.ini:two")) == [("a", "two of a.ini")]


def test_include_takes_placeholders() -> None:
    write("a.ini", "[uwsgi]\nname = b\ninclude = $(WHERE)/%(name).json\n")
    write("sub/b.json", '{"uwsgi": {"c": 1}}')
    assert gather(("ini", "a.ini"), environ={"WHERE": "sub"}) == [("name", "b"), ("c", "1")]


def test_set_makes_options_and_placeholders() -> None:
    write("a.ini", "[uwsgi]\nset = base=/srv\nset-placeholder = name=x=y\nemperor = %(base)/%(name)\n")
    assert gather(("ini", "a.ini"), ("set", "ini=a.ini"))[:3] == [
        ("base", "/srv"),
        ("name", "x=y"),
        ("emperor", "/srv/x=y"),
    ]


def test_content_of_a_file_and_environment() -> None:
    write("secret", "hush\n")
    assert gather(("a", "@(secret) $(B)"), environ={"B": "b"}) == [("a", "hush b")]


def test_each_extension_has_its_reader() -> None:
    texts = {
        ".ini": "[uwsgi]\nk = 1",
        ".xml": "<uwsgi><k>1</k></uwsgi>",
        ".yaml": "uwsgi:\n  k: 1",
        ".yml": "uwsgi:\n  k: 1",
        ".json": '{"uwsgi": {"k": 1}}',
        ".js": '{"uwsgi": {"k": 1}}',
        ".toml": "k = 1",
    }
    assert set(texts) == set(READERS)
    for extension, text in texts.items():
        write(f"a{extension}", text)
        assert gather(("config", f"a{extension}")) == [("k", "1")]


def test_the_key_decides_over_the_extension() -> None:
    write("a.conf", "uwsgi:\n  k: 1\n")
    assert gather(("yaml", "a.conf")) == [("k", "1")]


def test_a_colon_in_a_file_s_name() -> None:
    write("a:b.ini", "[uwsgi]\nk = 1\n")
    assert gather(("ini", "a:b.ini")) == [("k", "1")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("include = nope.ini", ["a.ini:2: include = nope.ini", "nope.ini can't be read: No such file"]),
        ("include = .", ["a.ini:2", "must end in one of .ini"]),
        ("ini = .", ["a.ini:2", "Is a directory"]),
        ("include = a.conf", ["must end in one of .ini .xml"]),
        ("include =", ["a.ini:2: include", "expected a file"]),
        ("include = http://127.0.0.1/x.ini", ["read from files only"]),
        ("include = a.ini", ["includes itself"]),
        ("inherit = a.ini:three", ["no section three"]),
        ("ini = b\0.ini", ["a.ini:2", "null"]),
        ("set = novalue", ["expected NAME=VALUE"]),
        ("set = set=a=b", ["expected NAME=VALUE"]),
        ("for = a b", ["a.ini:2: for = a b: ", "not supported"]),
        ("if-env = X", ["a.ini:2: if-env = X: ", "not supported"]),
        ("declare-option = x=y", ["not supported"]),
        ("emperor = @(nope)", ["a.ini:2: emperor = @(nope)", "nope can't be read"]),
        ("emperor = @(exec://id)", ["a.ini:2: emperor", "only files"]),
    ],
)
def test_errors(text: str, words: list[str]) -> None:
    write("a.ini", f"[uwsgi]\n{text}\n")
    with pytest.raises(UsageError) as caught:
        gather(("ini", "a.ini"))
    for word in words:
        assert word in str(caught.value)


def test_a_circle_of_two() -> None:
    write("a.ini", "[uwsgi]\ninclude = b.ini\n")
    write("b.ini", "[uwsgi]\ninclude = ./a.ini\n")
    with pytest.raises(UsageError, match=r"b.ini:2.*includes itself"):
        gather(("ini", "a.ini"))


def test_inherit_in_a_circle() -> None:
    write("a.ini", "[uwsgi]\ninherit = a.ini\n")
    with pytest.raises(UsageError, match="more than 200 configs"):
        gather(("ini", "a.ini"))


def test_includes_that_double_each_other() -> None:
    for n in range(12):
        write(f"a{n}.ini", f"[uwsgi]\ninclude = a{n + 1}.ini\ninclude = a{n + 1}.ini\n")
    write("a12.ini", "[uwsgi]\n")
    with pytest.raises(UsageError, match="more than 200 configs"):
        gather(("ini", "a0.ini"))


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(UsageError, match="larger than 4 MiB"):
        gather(("ini", "/dev/zero"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a.ini", True), ("/x/a.yml:two", True), ("a.toml", True), ("a.conf", False), ("ini", False), ("/x.ini/y", False)],
)
def test_is_config(path: str, expected: bool) -> None:
    assert is_config(path) is expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("if-env", True),
        ("ifdir", True),
        ("for", True),
        ("end-if", True),
        ("else", True),
        ("force-cwd", False),
        ("env", False),
    ],
)
def test_is_logic(key: str, expected: bool) -> None:
    assert is_logic(key) is expected
