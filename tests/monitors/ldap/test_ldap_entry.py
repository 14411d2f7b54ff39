"""What an entry comes to: names, options, values, owners and versions, and no vassal from garbage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.formats import read_ini
from emperor_trio.model import Owner, VassalSpec
from emperor_trio.monitors._ldap_entry import Attributes, read_entry, read_mark, read_option, render
from emperor_trio.monitors._rows import BadField, RowRules, Wrong
from tests.support.servers.slapd import Values, encode

DN = "cn=one,ou=vassals,dc=example,dc=org"
CSN = "20261124021500.123456Z#000001#00a#000000"
PLAIN = RowRules()
TYRANT = RowRules(tyrant=True)


def read(values: Values, rules: RowRules = PLAIN, dn: str = DN, wanted: frozenset[str] | None = None) -> object:
    return read_entry(rules, dn, encode(values), wanted)


def spec(values: Values, rules: RowRules = PLAIN, dn: str = DN, wanted: frozenset[str] | None = None) -> VassalSpec:
    found = read({"cn": "one", "uWSGImodule": "app", "entryCSN": CSN, **values}, rules, dn, wanted)
    assert isinstance(found, VassalSpec), found
    return found


def wrong(values: Values, rules: RowRules = PLAIN, dn: str = DN) -> Wrong:
    found = read({"cn": "one", "uWSGImodule": "app", "entryCSN": CSN, **values}, rules, dn)
    assert isinstance(found, Wrong), found
    return found


@pytest.mark.parametrize(
    ("attribute", "option"),
    [
        ("uWSGIsocket", "socket"),
        ("uWSGIfooBar", "foo-bar"),
        ("uWSGIemperorOnDemandDirectory", "emperor-on-demand-directory"),
        ("uwsgimodule", "module"),
        ("uWSGIhttp11Socket", "http11-socket"),
        ("uWSGIlog4xx", "log-4xx"),
        ("uWSGIerrorPage404", "error-page-404"),
    ],
)
def test_options(attribute: str, option: str) -> None:
    assert read_option(attribute) == option


def test_every_attribute_of_the_schema_is_an_option_of_uwsgi() -> None:
    """And of those of which LDAP permits the name, none is missing but aliases."""
    cli = Path(__file__).parents[3] / "src/emperor_trio/cli"
    text = (cli / "uwsgi.schema").read_text()
    names = [line.split("'")[1] for line in text.splitlines() if line.startswith("attributetype")]
    options = {line.split()[0] for line in (cli / "uwsgi_options.txt").read_text().splitlines() if line[0] != "#"}
    found = {read_option(name) for name in names} - {"null"}
    assert found <= options
    assert {option.replace("-", "") for option in options if "_" not in option} == {
        option.replace("-", "") for option in found
    }
    assert len({name.lower() for name in names}) == len(names)


@pytest.mark.parametrize(
    ("values", "dn", "name"),
    [
        ({}, DN, "one.ini"),
        ({"cn": "one.ini"}, DN, "one.ini"),
        ({"cn": ["first", "second"]}, DN, "first.ini"),
        ({"cn": []}, "uid=web,dc=x", "web.ini"),
        ({"cn": []}, r"ou=a\2Cb+x=y,dc=x", "a,b.ini"),
        ({"cn": "shop.xml"}, DN, "shop.xml.ini"),
        ({"cn": "köln"}, DN, "köln.ini"),
        ({"cn": [], "CN": "other"}, DN, "one.ini"),
    ],
)
def test_names(values: Values, dn: str, name: str) -> None:
    assert spec(values, dn=dn).name == name


def test_the_config() -> None:
    values: Values = {
        "objectClass": ["device", "uWSGIConfig"],
        "uWSGIenv": ["A=1", "B=[x]"],
        "uWSGImaster": "TRUE",
        "uWSGIvacuum": "FALSE",
        "uWSGIsocket": "[::1]:3031",
        "uWSGInull": "TRUE",
        "description": "nothing of ours",
    }
    assert spec(values).config == (
        b"[uwsgi]\nenv = A=1\nenv = B=[x]\nmaster = true\nmodule = app\nsocket = [::1]:3031\nvacuum = false\n"
    )
    assert spec(values).socket is None
    assert spec(values, wanted=frozenset({"uwsgimodule"})).config == b"[uwsgi]\nmodule = app\n"


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"uWSGIenv": "A=1\nexec-as-root = evil"}, "uWSGIenv", "line break"),
        ({"uWSGIenv": ["A=1", "B\r[uwsgi]"]}, "uWSGIenv", "line break"),
        ({"uWSGIenv": "a\0b"}, "uWSGIenv", "control"),
        ({"uWSGIenv": b"\xff"}, "uWSGIenv", "UTF-8"),
        ({"uWSGIenv;lang-de": "a"}, "uWSGIenv;lang-de", "option"),
        ({"uWSGIbig": "x" * 70000}, "config", "65,535"),
        ({"uWSGIbig": ["x" * 60000, "x" * 60000]}, "config", "65,535"),
        ({"uWSGImodule": []}, "config", "missing"),
        ({"uWSGImodule": [], "uWSGInull": "TRUE"}, "config", "missing"),
        ({"cn": b"\xff"}, "cn", "UTF-8"),
        ({"cn": "a\n.ini"}, "cn", "line break"),
        ({"cn": "x" * 255}, "cn", "255"),
        ({"cn": ""}, "cn", "missing"),
    ],
)
def test_what_is_wrong(values: Values, field: str, reason: str) -> None:
    found = wrong(values)
    assert (found.field, reason in found.reason) == (field, True), found
    assert "\n" not in found.value


def test_who_is_wrong_is_named_by_its_vassal_where_that_is_known() -> None:
    assert wrong({"uWSGIenv": b"\xff"}).name == "one.ini"
    assert wrong({"cn": b"\xff"}).name == DN
    assert wrong({"cn": []}, dn="").name == ""


def test_owners_count_in_tyrant_mode_only() -> None:
    assert spec({"uidNumber": "1000", "gidNumber": "100"}).owner is None
    assert spec({"uidNumber": "x"}).owner is None
    assert spec({"uidNumber": "1000", "gidNumber": "100"}, TYRANT).owner == Owner(1000, 100)
    assert wrong({"uidNumber": "1000"}, TYRANT).field == "gidNumber"
    assert wrong({"uidNumber": "x", "gidNumber": "1"}, TYRANT).field == "uidNumber"


def test_versions() -> None:
    one = spec({"modifyTimestamp": "20261124021500Z"})
    assert one.modified == 1795486500
    assert spec({}).modified == 1795486500
    assert spec({"description": "x"}).version == one.version
    later = "20261124021500.123456Z#000002#00a#000000"
    assert spec({"entryCSN": later}).version > one.version
    assert spec({"entryCSN": "20271124021500.000000Z#000000#000#000000"}).version > spec({"entryCSN": later}).version


def test_versions_of_servers_without_entry_csn() -> None:
    """A second change within one second shows by the content."""
    stamp = {"entryCSN": [], "modifyTimestamp": "20261124021500Z"}
    one = spec(stamp)
    assert one.modified == 1795486500
    assert spec(stamp) == one
    assert spec({**stamp, "uWSGImodule": "other"}).version != one.version
    assert spec({**stamp, "uidNumber": "7"}).version != one.version
    assert spec({**stamp, "modifyTimestamp": "20261124021501Z"}).version > one.version
    assert spec({"entryCSN": []}).modified == 0
    assert spec({"entryCSN": "what?"}).version != spec({"entryCSN": "that!"}).version


def test_marks() -> None:
    uuid = "d0e0c0de-0000-4000-8000-000000000001"
    mark = read_mark(DN, encode({"entryUUID": uuid, "entryCSN": CSN}))
    assert (mark.key.hex(), mark.stamp, mark.exact, mark.has_uuid) == (uuid.replace("-", ""), CSN.encode(), True, True)
    poor = read_mark(DN, encode({"entryUUID": "garbage", "modifyTimestamp": "20261124021500Z"}))
    assert (poor.key, poor.exact, poor.has_uuid) == (DN.encode(), False, False)


attributes = st.dictionaries(
    st.sampled_from(
        ["cn", "uidNumber", "gidNumber", "entryCSN", "modifyTimestamp", "entryUUID", "uWSGI", "uWSGIfooBar"]
    )
    | st.text(max_size=12)
    | st.text("abcXYZ019-;_ \n", max_size=9).map("uWSGI".__add__),
    st.lists(
        st.binary(max_size=30) | st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace")), max_size=3
    ),
    max_size=6,
)


@given(st.text(max_size=30) | st.just(DN), attributes, st.booleans())
def test_any_entry_is_judged(dn: str, found: Attributes, tyrant: bool) -> None:
    entry = read_entry(RowRules(tyrant=tyrant), dn, found)
    assert isinstance(entry, VassalSpec | Wrong)
    if isinstance(entry, VassalSpec):
        assert entry.name.endswith(".ini")
        assert (entry.config or b"").startswith(b"[uwsgi]\n")
    read_mark(dn, found)


@given(
    st.dictionaries(
        st.sampled_from(["uWSGIenv", "uWSGIsocket", "uWSGIfooBar"]),
        st.lists(st.binary(max_size=20) | st.text("[]=;#\n\r\t uwsgi\x85\u2028é").map(str.encode), max_size=3),
    )
)
def test_no_value_forges_a_line(found: Attributes) -> None:
    """Read as uWSGI reads it, the config has exactly the options and values that the entry has."""
    try:
        config = render(found)
    except BadField:
        return
    items = read_ini(config.encode(), "a.ini")
    words = {b"TRUE": "true", b"FALSE": "false"}
    assert [(item.key, item.value) for item in items or []] == [
        (read_option(name), words.get(value, value.decode()).strip(" \t\r"))
        for name in sorted(found)
        for value in found[name]
    ]
