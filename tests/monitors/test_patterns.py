"""Patterns mean what they mean to glibc."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.errors import UsageError
from emperor_trio.monitors._patterns import Plan, Step, has_wildcards, join, plan_folder, plan_pattern

libc = ctypes.CDLL(None)
FNM_PERIOD = 4


def matches(pattern: str, name: str) -> bool:
    return plan_pattern(pattern, "/").steps[0].matches(name)


@pytest.mark.parametrize(
    ("text", "wild"),
    [
        ("/etc/uwsgi", False),
        ("/etc/*.ini", True),
        ("/opt/*/a.ini", True),
        ("a?.ini", True),
        ("a[0-9].ini", True),
        ("a[0-9.ini", False),
        ("a].ini", False),
        (r"a\*.ini", False),
        (r"a\[0].ini", False),
        ("a[]].ini", True),
        ("a[].ini", False),
        ("a[/]b", False),
        ("{a,b}.ini", False),
        ("", False),
    ],
)
def test_what_has_wildcards(text: str, wild: bool) -> None:
    assert has_wildcards(text) is wild


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        (
            "*.ini",
            ["a.ini", "a b.ini", "a\nb.ini", "\udcff.ini", "ü.ini"],
            [".ini", ".a.ini", "a.ini~", "a.xml", "A.INI"],
        ),
        (".*.ini", [".a.ini", "..ini"], ["a.ini"]),
        (r"\.*.ini", [".a.ini"], ["a.ini"]),
        ("[.]*.ini", [], [".a.ini", "a.ini"]),
        ("?.ini", ["a.ini", "ü.ini", "\udcff.ini"], ["ab.ini", "..ini", ".ini"]),
        ("a[0-9x].ini", ["a0.ini", "ax.ini"], ["a.ini", "aa.ini", "a10.ini"]),
        ("a[!0-9].ini", ["ax.ini", "a!.ini"], ["a0.ini"]),
        ("a[^0-9].ini", ["ax.ini", "a^.ini"], ["a0.ini"]),
        ("a[]x].ini", ["a].ini", "ax.ini"], ["a[.ini"]),
        ("a[[:digit:]_].ini", ["a1.ini", "a_.ini"], ["ab.ini", "a:.ini"]),
        ("a[[:nonsense:]].ini", [], ["an.ini", "a.ini"]),
        ("a[![:nonsense:]].ini", ["an.ini"], []),
        ("a[[.-.]x].ini", ["a-.ini", "ax.ini"], ["a..ini"]),
        ("a[z-a].ini", [], ["az.ini", "am.ini", "a-.ini"]),
        ("a[a-].ini", ["aa.ini", "a-.ini"], ["ab.ini"]),
        (r"a[\]x].ini", ["a].ini", "ax.ini"], ["a\\.ini"]),
        (r"\*?.ini", ["*a.ini"], ["ba.ini"]),
        ("a**b***.ini", ["ab.ini", "axbx.ini"], ["a.ini"]),
        (r"a.+(b)*", ["a.+(b)", "a.+(b)c"], ["axxb"]),
    ],
)
def test_what_matches(pattern: str, fits: list[str], misses: list[str]) -> None:
    assert [name for name in fits if not matches(pattern, name)] == []
    assert [name for name in misses if matches(pattern, name)] == []


@given(
    st.text(st.sampled_from("ab.-]*?[!^\\"), min_size=1, max_size=8),
    st.text(st.sampled_from("ab.-]*?[!^\\"), min_size=1, max_size=6),
)
def test_matching_is_glibcs(pattern: str, name: str) -> None:
    unclosed = "[" in pattern and "]" not in pattern.rpartition("[")[2][1:]
    if unclosed or pattern.endswith("\\") or not has_wildcards(pattern):
        return  # not defined by POSIX, and odd in glibc
    expected = libc.fnmatch(pattern.encode(), name.encode(), FNM_PERIOD) == 0
    assert matches(pattern, name) is expected


@pytest.mark.parametrize(
    ("argument", "base", "shown", "steps"),
    [
        ("/etc/uwsgi/*.ini", "/etc/uwsgi", "/etc/uwsgi/", 1),
        ("/*.ini", "/", "/", 1),
        ("/opt/*/conf/*.ini", "/opt", "/opt/", 3),
        ("/opt//apps///*/x.ini", "/opt//apps", "/opt//apps///", 2),
        ("*.ini", "/cwd", "", 1),
        ("conf/*.ini", "/cwd/conf", "conf/", 1),
        ("./conf/a.ini", "/cwd/./conf", "./conf/", 1),
        ("../*/a.ini", "/cwd/..", "../", 2),
        ("/etc/a.ini", "/etc", "/etc/", 1),
        (r"/srv/a\*b/*.ini", "/srv/a*b", "/srv/a*b/", 1),
    ],
)
def test_where_a_pattern_begins(argument: str, base: str, shown: str, steps: int) -> None:
    plan = plan_pattern(argument, "/cwd")
    assert (plan.base, plan.shown, len(plan.steps), plan.directory) == (base, shown, steps, None)


def test_the_steps_of_a_pattern() -> None:
    steps = plan_pattern("/opt/*//conf/a[0].ini", "/").steps
    assert [(step.literal, step.separator) for step in steps] == [(None, "//"), ("conf", "/"), (None, "")]
    assert steps[1].matches("conf")
    assert not steps[1].matches("conf.d")


@pytest.mark.parametrize(
    ("argument", "base"),
    [
        ("/etc/uwsgi", "/etc/uwsgi"),
        ("/etc/uwsgi//", "/etc/uwsgi"),
        ("vassals", "/cwd/vassals"),
        ("/", "/"),
        (".", "/cwd/."),
    ],
)
def test_where_a_folder_is(argument: str, base: str) -> None:
    assert plan_folder(argument, "/cwd") == Plan(base, (Step(),), "", base)
    assert Step().matches(".hidden")


@pytest.mark.parametrize("argument", ["", "a\0b"])
def test_what_names_nothing_is_refused(argument: str) -> None:
    with pytest.raises(UsageError, match="names no folder or file"):
        plan_folder(argument, "/")
    with pytest.raises(UsageError, match="names no folder or file"):
        plan_pattern(argument, "/")


def test_a_pattern_for_folders_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match=r"glob:///opt/\*/: ends with a slash.* try glob:///opt/\*/\*\.ini"):
        plan_pattern("/opt/*/", "/")


def test_joining() -> None:
    assert (join("/", "a"), join("/a", "b")) == ("/a", "/a/b")
