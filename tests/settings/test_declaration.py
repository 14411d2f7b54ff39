"""The declaration as a whole: complete, consistent, and what the reference page was made from."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import attrs
import pytest

from emperor_trio.settings import COMMAND_LINE, DIRECTIVES, NAMES, OPTIONS, Given, Group, Settings, settle

ROOT = Path(__file__).parents[2]

TAKEN_OVER = """
emperor emperor-freq emperor-nofollow emperor-extra-extension emperor-extra-ext emperor-magic-exec emperor-wrapper
emperor-wrapper-override emperor-wrapper-fallback binary-path emperor-procname emperor-pidfile emperor-stats
emperor-stats-server emperor-throttle emperor-max-throttle emperor-no-blacklist emperor-required-heartbeat
emperor-curse-tolerance reload-mercy emperor-graceful-shutdown emperor-broodlord emperor-tyrant emperor-tyrant-nofollow
emperor-tyrant-initgroups emperor-on-demand-extension emperor-on-demand-ext emperor-on-demand-directory
emperor-on-demand-dir emperor-on-demand-exec chmod-socket chown-socket listen emperor-cap vassal-cap vassals-cap
emperor-use-clone emperor-subreaper env umask pidfile stats-http die-on-term vassals-include vassals-include-before
vassals-inherit vassals-inherit-before vassal-set vassals-set vassals-start-hook vassals-stop-hook exec-as-vassal
exec-as-emperor imperial-monitor-list imperial-monitors-list plugin plugins early-emperor master uid gid chdir logto
""".split()  # noqa: SIM905
OURS = """
emperor-max-starting emperor-max-restarts emperor-restart-window emperor-priority emperor-reload-tolerance
emperor-hook-timeout log-format log-level config ini xml yaml json
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", [*TAKEN_OVER, *OURS])
def test_every_option_is_there(name: str) -> None:
    assert name in NAMES


def test_names_are_unique() -> None:
    assert sum(1 + len(option.aliases) for option in OPTIONS) == len(NAMES)
    letters = [option.short for option in OPTIONS if option.short]
    assert len(letters) == len(set(letters))


def test_each_attribute_is_an_option() -> None:
    attributes = {field.name for field in attrs.fields(Settings)} - {"ignored"}
    assert attributes == {option.attribute for option in OPTIONS if option.is_setting}
    assert not any(option.is_setting for option in DIRECTIVES)


def test_only_repeatable_options_and_lists_hold_tuples() -> None:
    for option in OPTIONS:
        if option.is_setting and option.name != "emperor-cap":
            assert option.many == isinstance(option.default, tuple), option.name


def test_defaults_read_as_they_are_written() -> None:
    for option in OPTIONS:
        if option.is_setting and isinstance(option.default, int | float | str) and not isinstance(option.default, bool):
            text = f"{option.default:g}" if isinstance(option.default, float) else str(option.default)
            assert option.kind.read(text) == option.default, option.name


def test_helps_are_sentences() -> None:
    for option in OPTIONS:
        assert re.fullmatch(r"[A-Z].*\.", option.help), option.name
        assert option.help.isprintable(), option.name


def test_each_group_has_options() -> None:
    assert {option.group for option in OPTIONS} == set(Group)


def test_settings_are_frozen_and_ignored_names_are_told_once() -> None:
    settings, origins = settle([], ["processes", "lazy", "processes"])
    assert settings == Settings(ignored=("processes", "lazy"))
    assert origins == {}
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings.listen = 5  # type: ignore[misc]


def test_origins_tell_where_each_value_came_from() -> None:
    items = [Given(NAMES["listen"], "5", "a.ini:3"), Given(NAMES["listen"], "6"), Given(NAMES["uid"], "0")]
    _, origins = settle(items)
    assert [item.place for item in origins["listen"]] == ["a.ini:3", COMMAND_LINE]
    assert set(origins) == {"listen", "uid"}


def test_the_reference_page_is_up_to_date() -> None:
    tool = runpy.run_path(str(ROOT / "tools/options_reference.py"))
    assert (ROOT / "docs/options.md").read_text() == tool["reference"](), "run python tools/options_reference.py"
