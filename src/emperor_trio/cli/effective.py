"""The effective settings as people read them: each value as it was given, and where; passwords masked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from emperor_trio.cli.help import default_of
from emperor_trio.control.messages import Setting
from emperor_trio.masking import masked
from emperor_trio.settings import NAMES, OPTIONS, Given, Option, Origins

ON_COMMAND_LINE = "command line"
DEFAULT = "default"


def effective(origins: Origins) -> tuple[Setting, ...]:
    """Every setting, in the order of ``--help``; of those that were given, with the place of each value that counts."""
    return tuple(_setting(option, origins.get(option.attribute, ())) for option in OPTIONS if option.is_setting)


def compared(then: Sequence[Setting], now: Sequence[Setting]) -> Iterator[Setting]:
    """The settings of a running emperor, each with its value of ``now`` where that is another one."""
    newest = {setting.name: setting for setting in now}
    for setting in then:
        newer = newest.get(setting.name)
        changed = newer is not None and newer.value != setting.value
        yield Setting(setting.name, setting.value, setting.origin, newer.value if newer and changed else None)


def masked_words(words: Sequence[str]) -> tuple[str, ...]:
    """A command line that may be shown: what ``--env`` sets is nobody's business."""
    shown: list[str] = []
    for word in words:
        before = shown[-1] if shown else ""
        name, equals, value = word.partition("=")
        if before == "--env":
            shown.append(_hidden(word))
        elif name == "--env" and equals:
            shown.append(f"--env={_hidden(value)}")
        else:
            shown.append(masked(word))
    return tuple(shown)


def _setting(option: Option, given: Sequence[Given]) -> Setting:
    if not given:
        return Setting(option.name, _default(option), DEFAULT)
    counting = given if option.many else given[-1:]
    values = ", ".join(_value(item) for item in counting)
    places = dict.fromkeys(item.place or ON_COMMAND_LINE for item in counting)
    return Setting(option.name, values, ", ".join(places))


def _value(item: Given) -> str:
    text = item.value if item.value not in (None, "") else item.option.kind.bare or ""
    return _hidden(text) if item.option is NAMES["env"] else masked(text)


def _default(option: Option) -> str:
    return default_of(option) or ("false" if option.default is False else "")


def _hidden(assignment: str) -> str:
    """The name alone of a variable that is set."""
    name, equals, _ = assignment.partition("=")
    return f"{name}=***" if equals else name
