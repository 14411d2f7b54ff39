"""Placeholders as tables: what each stands for, and that nobody gets out of them what he should not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emperor_trio.errors import UsageError
from emperor_trio.formats import Entry, Expander, Item, Magic, references


def expand(value: str, magic: Magic | None = None, **others: str) -> str | None:
    expander = Expander({"HOME": "/root", "EMPTY": ""}, {"f": "from file"}.__getitem__)
    for key, other in others.items():
        expander.define(Entry(Item(key, other, "a.ini:1"), magic))
    return expander.expand(Entry(Item("key", value, "a.ini:9"), magic))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(HOME)/x", "/root/x"),
        ("$(NOPE)", "$(NOPE)"),
        ("$(NOPE-other)", "other"),
        ("$(EMPTY-other)", ""),
        ("$(EMPTY:-other)", "other"),
        ("$(NOPE:-a-b:c)", "a-b:c"),
        ("$(date -u)", "$(date -u)"),
        ("$(ls -l $(HOME))", "$(ls -l /root)"),
        ("@(f)!", "from file!"),
        ("%(a) and %(b)", "1 and 1"),
        ("%(nope)", "%(nope)"),
        ("%(name)", "%(name)"),
        ("$()%()@()", "$()%()@()"),
        ("$(unclosed", "$(unclosed"),
        ("a)b(c", "a)b(c"),
        ("100%", "100%"),
        ("$($(X-HOME))", "/root"),
        ("%(a + 5)", "6"),
        ("%(a a + 1)", "12"),
        ("%(7 / 2)", "3"),
        ("%(minus / 2)", "-3"),
        ("%(7 / 0)", "0"),
        ("%(3 * 4 - 2)", "10"),
        ("%(a ++)", "2"),
        ("%(a --)", "0"),
        ("%(nope 1)", "1"),
        ("%(text + 1)", "1"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert expand(text, None, a="1", b="%(a)", minus="-7", text="x") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("%n.sock", "app.sock"), ("50%%", "50%"), ("%%(a)", "%(a)"), ("%(a)", "1"), ("%%n", "%n")],
)
def test_magic_variables_in_files(text: str, expected: str) -> None:
    assert expand(text, Magic({"n": "app"}), a="1") == expected


def test_first_of_several_counts_as_placeholder() -> None:
    expander = Expander({}, None)
    for value in ("first", "second"):
        expander.define(Entry(Item("a", value, "x:1"), None))
    assert expander.expand(Entry(Item("b", "%(a)", "x:2"), None)) == "first"


def test_a_name_that_was_put_in_is_no_name_again() -> None:
    magic = Magic({"n": "$(HOME)@(f)%(a)"})
    assert expand("%n", magic, a="1") == "$(HOME)@(f)%(a)"


def test_someone_elses_config_reaches_neither_environment_nor_files() -> None:
    expander = Expander({}, None)
    value = "$(PATH) @(/etc/passwd)"
    assert expander.expand(Entry(Item("a", value, "x:1"), None)) == value


@pytest.mark.parametrize(
    ("text", "others", "words"),
    [
        ("%w", {}, ["a.ini:9: key = %w", "%w stands for nothing", "write %%"]),
        ("100%", {}, ["% stands for nothing"]),
        ("%(a)", {"a": "%(b)", "b": "%(a)"}, ["a → b → a"]),
        ("%(a)", {"a": "%(a)"}, ["a → a"]),
    ],
)
def test_errors(text: str, others: dict[str, str], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        expand(text, Magic({}), **others)
    for word in words:
        assert word in str(caught.value)


def test_placeholders_that_double_each_other_end() -> None:
    others = {f"k{n}": f"%(k{n + 1})%(k{n + 1})" for n in range(40)}
    with pytest.raises(UsageError, match="grows beyond"):
        expand("%(k0)", None, **others, k40="xxxxxxxx")


def test_deep_nesting_ends() -> None:
    with pytest.raises(UsageError, match="nested too deeply"):
        expand("$(" * 5000 + "a" + ")" * 5000)


def test_references() -> None:
    assert list(references("%(a) $(b) %(c + 1) %%(d)")) == ["a", "c", "+", "1", "d"]


def test_facts_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "my.app.ini"
    path.parent.mkdir()
    path.touch()
    letters = Magic().of_file(str(path), "two").letters
    parts = [part for part in str(path.parent).split("/") if part]
    assert {letter: letters[letter] for letter in "opsdencxi"} == {
        "o": str(path),
        "p": str(path),
        "s": "my.app.ini",
        "d": f"{path.parent}/",
        "e": "ini",
        "n": "my.app",
        "c": "deep",
        "x": "two",
        "i": str(os.lstat(path).st_ino),
    }
    assert [letters[digit] for digit in "0123456789"][: len(parts)] == parts[:10]
    assert letters["P"] == letters["p"]


def test_capitals_stay_with_the_first_file_and_links_with_themselves(tmp_path: Path) -> None:
    first, second = tmp_path / "first.ini", tmp_path / "second"
    first.touch()
    second.symlink_to(first)
    letters = Magic().of_file(str(first)).of_file(str(second)).letters
    assert (letters["S"], letters["s"], letters["e"], letters["n"]) == ("first.ini", "second", "", "second")


def test_facts_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    letters = Magic().of_process("1.2.3").letters
    assert letters["v"] == str(tmp_path)
    assert letters["V"] == "1.2.3"
    assert letters["u"] == str(os.getuid())
    assert letters["["] == "\033"
    assert int(letters["T"]) // 1_000_000 == int(letters["t"])


def test_users_and_groups_without_a_name_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 2**31)
    monkeypatch.setattr(os, "getgid", lambda: 2**31 + 1)
    letters = Magic().of_process("x").letters
    assert (letters["U"], letters["G"]) == (str(2**31), str(2**31 + 1))
