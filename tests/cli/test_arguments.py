"""Taking a command line apart, as uWSGI's getopt_long does."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emperor_trio.cli.arguments import Argument, parse_arguments, unknown_option
from emperor_trio.cli.foreign import IGNORED, uwsgi_options
from emperor_trio.errors import UsageError
from emperor_trio.settings import NAMES


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--emperor /a", [("emperor", "/a")]),
        ("--emperor=/a", [("emperor", "/a")]),
        ("--emperor=a=b", [("emperor", "a=b")]),
        ("--emperor --x", [("emperor", "--x")]),
        ("--emperor-tyrant", [("emperor-tyrant", None)]),
        ("--emperor-tyrant=false", [("emperor-tyrant", "false")]),
        ("--emperor-tyr --listen 5", None),
        ("--emperor-thr 5", [("emperor-throttle", "5")]),
        ("--emperor-max 5", [("emperor-max-throttle", "5")]),
        ("--emperor-max-r 5", [("emperor-max-restarts", "5")]),
        ("--emperor-extra .x", [("emperor-extra-ext", ".x")]),
        ("--vassals-se a=b", [("vassals-set", "a=b")]),
        ("--chmod-socket 660", [("chmod-socket", None), (None, "660")]),
        ("--chmod-socket=660", [("chmod-socket", "660")]),
        ("-C660 -C", [("chmod-socket", "660"), ("chmod-socket", None)]),
        ("-M", [("master", None)]),
        ("-Ml50", [("master", None), ("listen", "50")]),
        ("-M -l 50", [("master", None), ("listen", "50")]),
        ("-p 4 -MT", [("processes", "4"), ("master", None), ("enable-threads", None)]),
        ("-S a=b -y x.yaml", [("set", "a=b"), ("yaml", "x.yaml")]),
        ("/a --listen 5 /b", [(None, "/a"), ("listen", "5"), (None, "/b")]),
        ("/a -- --listen -b", [(None, "/a"), (None, "--listen"), (None, "-b")]),
        ("-", [(None, "-")]),
        ("-h", [("help", None)]),
        ("", []),
    ],
)
def test_parse(line: str, expected: list[tuple[str | None, str | None]] | None) -> None:
    if expected is None:
        with pytest.raises(UsageError, match="ambiguous"):
            parse_arguments(line.split())
    else:
        parsed = [(argument.name, argument.value) for argument in parse_arguments(line.split())]
        assert parsed == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--emperor-throtle 5", "--emperor-throtle: unknown option; did you mean --emperor-throttle?"),
        ("--nonsense", "--nonsense: unknown option; see --help for all there are"),
        ("--procesess 4", "--procesess: unknown option; did you mean --processes?"),
        ("--qqqqqqqqqq", "--qqqqqqqqqq: unknown option; see --help"),
        ("--emperor-t", "--emperor-t is ambiguous: --emperor-throttle, --emperor-tyrant"),
        ("--vassals-s", "--vassals-s is ambiguous: --vassal-set, --vassals-start-hook, --vassals-stop-hook"),
        ("--max", "--max is ambiguous: --max-apps, --max-requests"),
        ("--emperor", "--emperor needs a value: a folder, a pattern or SCHEME://…"),
        ("-l", "-l needs a value: a whole number, 1 or more"),
        ("--processes", "--processes needs a value"),
        ("--lazy=yes", "--lazy takes no value: yes"),
        ("-?", "-?: unknown option"),
        ("--=x", "--: unknown option"),
    ],
)
def test_errors(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_arguments(line.split())
    assert message in str(caught.value)


def test_no_option_that_would_be_refused_is_suggested() -> None:
    allowed = {*NAMES, *(name for name, option in uwsgi_options().items() if option.kind == IGNORED)}
    refused = [name for name in uwsgi_options() if name not in allowed]
    assert refused
    for name in refused:
        guess = re.search(r"did you mean --(.*)\?", unknown_option(name + "x", "--"))
        assert guess is None or guess[1] in allowed


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.one_of(st.text(max_size=8), st.sampled_from(["--", "-", "--emperor", "-Ml", "--=", "--e", "-C="]))))
def test_no_words_raise_anything_else(words: list[str]) -> None:
    with contextlib.suppress(UsageError):
        assert all(isinstance(argument, Argument) for argument in parse_arguments(words))
