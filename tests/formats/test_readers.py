"""The readers as tables: what a text in each format means, and what is said where it means nothing."""

from __future__ import annotations

import pytest

from emperor_trio.errors import UsageError
from emperor_trio.formats import Reader, read_ini, read_json, read_toml, read_xml, read_yaml

Pairs = list[tuple[str, str]]


def pairs(reader: Reader, text: str, section: str | None = None) -> list[tuple[str, str | None]] | None:
    items = reader(text.encode(), "a.conf", section)
    return None if items is None else [(item.key, item.value) for item in items]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[uwsgi]\nmaster = true\n", [("master", "true")]),
        ("[uwsgi]\r\nmaster = true\r\n", [("master", "true")]),
        ("\ufeff[uwsgi]\nmaster = true", [("master", "true")]),
        ("  [uwsgi]  \n\tmaster=true\t\n", [("master", "true")]),
        ("[uwsgi]\n; a comment\n# another\na = b ; none\n", [("a", "b ; none")]),
        ("[uwsgi]\na = 1\na = 2\n", [("a", "1"), ("a", "2")]),
        ("[uwsgi]\nmaster\nempty =\n", [("master", ""), ("empty", "")]),
        ("[uwsgi]\na = b = c\n", [("a", "b = c")]),
        ('[uwsgi]\na = "quoted"\n', [("a", '"quoted"')]),
        ("[uwsgi]\na = 1 \\\nb\n", [("a", "1 \\"), ("b", "")]),
        ("a = before\n[other]\na = 1\n[uwsgi]\na = 2\n[other]\na = 3\n[uwsgi]\na = 4", [("a", "2"), ("a", "4")]),
        ("[uwsgi]\nspaces in key = 1\n", [("spaces in key", "1")]),
        ("[uwsgi]\n[broken\na = 1\n", []),
        ("[uwsgi]\n", []),
    ],
)
def test_ini(text: str, expected: Pairs) -> None:
    assert pairs(read_ini, text) == expected


def test_ini_keeps_bytes_that_are_not_utf8() -> None:
    items = read_ini(b"[uwsgi]\nemperor = /srv/\xe9\n", "a.ini")
    assert items is not None
    assert items[0].value is not None
    assert items[0].value.encode("utf-8", "surrogateescape") == b"/srv/\xe9"


def test_places_name_file_and_line() -> None:
    for reader, text in [
        (read_ini, "; x\n[uwsgi]\n\nmaster = true\n"),
        (read_yaml, "# x\nuwsgi:\n\n  master: true\n"),
        (read_xml, "<!-- x -->\n<uwsgi>\n\n  <master/>\n</uwsgi>"),
    ]:
        items = reader(text.encode(), "dir/a.conf", None)
        assert items is not None
        assert [item.place for item in items] == ["dir/a.conf:4"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uwsgi:\n  master: true\n", [("master", "true")]),
        ("uwsgi:\n  a: [x, y]\n  b:\n    - 1\n    - 2\n", [("a", "x"), ("a", "y"), ("b", "1"), ("b", "2")]),
        ("uwsgi:\n  a: 0644\n  b: ~\n  c: 1.50\n  d: Yes\n", [("a", "0644"), ("b", "~"), ("c", "1.50"), ("d", "Yes")]),
        ("uwsgi:\n  a: \"x # y\" # z\n  b: 'it''s'\n", [("a", "x # y"), ("b", "it's")]),
        ("uwsgi:\n  chdir: %d\n  b: 50%%\n", [("chdir", "%d"), ("b", "50%%")]),
        ("uwsgi:\n  a: |\n    one\n    two\n", [("a", "one\ntwo\n")]),
        ("uwsgi:\n  a: 1\n  a: 2\n", [("a", "1"), ("a", "2")]),
        ("uwsgi:\n  a: &x 1\n  b: *x\n", [("a", "1"), ("b", "1")]),
        ("uwsgi:\n  a: ''\n", [("a", "")]),
        ("other:\n  a: 1\nuwsgi: {a: 2}\n", [("a", "2")]),
    ],
)
def test_yaml(text: str, expected: Pairs) -> None:
    assert pairs(read_yaml, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"uwsgi": {"master": true, "a": false, "b": null}}', [("master", "1"), ("a", "0"), ("b", "0")]),
        ('{"uwsgi": {"a": 12, "b": 1.50, "c": 1e3}}', [("a", "12"), ("b", "1.50"), ("c", "1e3")]),
        ('{"uwsgi": {"a": ["x", 1, true]}}', [("a", "x"), ("a", "1"), ("a", "1")]),
        ('{"uwsgi": {"a": "1", "b": "2", "a": "3"}}', [("a", "1"), ("b", "2"), ("a", "3")]),
        ('/* c */ {"uwsgi": // d\n {"a": "//no /* comment \\" */"}}', [("a", '//no /* comment " */')]),
        ('{"uwsgi": {}}', []),
    ],
)
def test_json(text: str, expected: Pairs) -> None:
    assert pairs(read_json, text) == expected


@pytest.mark.parametrize(
    ("text", "section", "expected"),
    [
        ('emperor = ["/a", "/b"]\nmaster = true\n', None, [("emperor", "/a"), ("emperor", "/b"), ("master", "1")]),
        ("emperor-freq = 0.5\nlisten = 1_000\n", None, [("emperor-freq", "0.5"), ("listen", "1000")]),
        ("a = 1\n[production]\na = 2\n", "production", [("a", "2")]),
    ],
)
def test_toml(text: str, section: str | None, expected: Pairs) -> None:
    assert pairs(read_toml, text, section) == expected


@pytest.mark.parametrize(
    ("text", "section", "expected"),
    [
        ("<uwsgi><master/><a></a><b>x</b></uwsgi>", None, [("master", "1"), ("a", "1"), ("b", "x")]),
        ("<uwsgi><a>\n  x y\n</a><b> </b></uwsgi>", None, [("a", "x y"), ("b", "")]),
        ("<uwsgi><a>x &amp; &#65;</a><b><![CDATA[x < y]]></b></uwsgi>", None, [("a", "x & A"), ("b", "x < y")]),
        ("<config><x/><uwsgi><a>1</a></uwsgi><uwsgi><a>2</a></uwsgi></config>", None, [("a", "1")]),
        ("<c><uwsgi id='one'><a>1</a></uwsgi><uwsgi id='two'><a>2</a></uwsgi></c>", "two", [("a", "2")]),
        ("<uwsgi><a id='one'>1</a><a id='two'>2</a><a>3</a></uwsgi>", "two", [("a", "2"), ("a", "3")]),
        ("<uwsgi><a mode='x'>1</a></uwsgi>", None, [("a", "1")]),
    ],
)
def test_xml(text: str, section: str | None, expected: Pairs) -> None:
    assert pairs(read_xml, text, section) == expected


def test_xml_reads_another_element_for_vassals() -> None:
    items = read_xml(b"<uwsgi><emperor><command>run</command></emperor><a>1</a></uwsgi>", "v.xml", element="emperor")
    assert items is not None
    assert [(item.key, item.value) for item in items] == [("command", "run")]


@pytest.mark.parametrize("reader", [read_ini, read_yaml, read_json, read_toml, read_xml])
def test_another_section(reader: Reader) -> None:
    texts: dict[Reader, str] = {
        read_ini: "[uwsgi]\na = 1\n[two]\na = 2\n",
        read_yaml: "uwsgi:\n  a: 1\ntwo:\n  a: 2\n",
        read_json: '{"uwsgi": {"a": 1}, "two": {"a": 2}}',
        read_toml: "a = 1\n[two]\na = 2\n",
        read_xml: "<x><uwsgi id='one'><a>1</a></uwsgi><uwsgi id='two'><a>2</a></uwsgi></x>",
    }
    text = texts[reader]
    assert pairs(reader, text, "two") == [("a", "2")]
    assert pairs(reader, text, "three") is None


@pytest.mark.parametrize(
    ("reader", "text", "words"),
    [
        (read_yaml, "uwsgi:\n  a: [x\n", ["a.conf:3", "not yaml"]),
        (read_yaml, "uwsgi:\n  master:\n", ["a.conf:2", "master has no value"]),
        (read_yaml, "uwsgi:\n  a: {b: 1}\n", ["a.conf:2", "a text or a sequence"]),
        (read_yaml, "uwsgi: 5\n", ["a.conf:1", "a mapping is expected"]),
        (read_yaml, "uwsgi:\n  ? [a, b]\n  : 1\n", ["a.conf:2", "a key must be a text"]),
        (read_yaml, "a: 1\n---\nb: 1\n", ["a.conf", "not yaml"]),
        (read_json, '{"uwsgi":\n {"a": }}', ["a.conf:2", "not json"]),
        (read_json, "[1]", ["a.conf", "an object is expected"]),
        (read_json, '{"uwsgi": 1}', ['"uwsgi" must be an object']),
        (read_json, '{"uwsgi": {"a": {"b": 1}}}', ["a.conf: a: a text, a number"]),
        (read_toml, "a = \n", ["a.conf: not toml", "line 1"]),
        (read_toml, "[uwsgi]\na = 1\n", ["[uwsgi] is a table", "a.conf:uwsgi"]),
        (read_toml, "uwsgi = 1\n", ["uwsgi must be a table"]),
        (read_toml, "a = 2020-01-01\n", ["a.conf: a: a text, a number"]),
        (read_xml, "<uwsgi><a></uwsgi>", ["a.conf:1", "not xml"]),
        (read_xml, "<!DOCTYPE x [<!ENTITY y 'z'>]><uwsgi/>", ["a.conf:1", "document type"]),
        (read_xml, "<uwsgi>\n<a><b/></a></uwsgi>", ["a.conf:2", "<b> inside <a>"]),
        (read_xml, "<uwsgi>stray</uwsgi>", ["a.conf:1", "outside of any option"]),
        (read_xml, "<?xml version='1.0' encoding='nonsense'?><uwsgi/>", ["a.conf", "not xml"]),
    ],
)
def test_errors_say_where_and_what(reader: Reader, text: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        pairs(reader, text, "uwsgi" if "must be a table" in words[0] else None)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("reader", [read_yaml, read_json, read_toml])
def test_not_utf8(reader: Reader) -> None:
    with pytest.raises(UsageError, match="not UTF-8 at byte 2"):
        reader(b"a \xff", "a.conf", None)


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (read_json, "[" * 100_000),
        (read_json, '{"uwsgi":' * 50_000),
        (read_toml, "a = " + "[" * 50_000),
        (read_yaml, "uwsgi: " + "[" * 5_000),
        (read_xml, "<a>" * 50_000),
        (read_json, '"\\"' * 100_000),
        (read_json, "/*" * 100_000),
        (read_yaml, '"\\Uffffffff"'),
    ],
)
def test_hostile_nesting_is_an_error_like_any_other(reader: Reader, text: str) -> None:
    with pytest.raises(UsageError):
        pairs(reader, text)


def test_yaml_aliases_do_not_multiply() -> None:
    text = "a: &a [x, x]\nb: &b [*a, *a]\nuwsgi:\n  c: [*b, *b]\n"
    with pytest.raises(UsageError, match="c: a text or a sequence of texts"):
        pairs(read_yaml, text)
