"""The help's looks: width, colour, and that nothing is cut off."""

from __future__ import annotations

import io

import pytest

from emperor_trio.cli.help import heading, help_text, width_and_colour
from emperor_trio.settings import NAMES, OPTIONS


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_it_fits_and_has_everything(width: int) -> None:
    text = help_text(width, colour=False)
    assert max(map(len, text.splitlines())) <= max(60, min(width, 100))
    for option in OPTIONS:
        assert heading(option) in text


def test_colour_changes_nothing_else() -> None:
    coloured = help_text(80, colour=True)
    assert "\033[1m" in coloured
    plain = coloured.replace("\033[1m", "").replace("\033[36m", "").replace("\033[0m", "")
    assert plain == help_text(80, colour=False)


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(stream: io.StringIO, environ: dict[str, str], colour: bool) -> None:
    assert width_and_colour(stream, environ)[1] is colour


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("listen", "-l, --listen N"),
        ("chmod-socket", "-C, --chmod-socket[=MODE]"),
        ("emperor-tyrant", "--emperor-tyrant"),
        ("emperor-throttle", "--emperor-throttle MS"),
    ],
)
def test_headings(name: str, expected: str) -> None:
    assert heading(NAMES[name]) == expected
