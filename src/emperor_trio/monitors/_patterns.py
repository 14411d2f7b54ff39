"""Which names a monitor of files looks at: a folder, and the steps of a pattern from there to the configs.

Shell patterns as glibc's ``glob`` reads them: ``*``, ``?``, ``[…]``, a backslash before what is meant literally; hidden
names only where the pattern says the dot. Pure: nothing here touches a file.
"""

from __future__ import annotations

import os
import re
import string
from dataclasses import dataclass

from emperor_trio.errors import UsageError

_CLASSES = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "cntrl": "".join(map(chr, range(32))) + "\x7f",
    "digit": string.digits,
    "graph": string.ascii_letters + string.digits + string.punctuation,
    "lower": string.ascii_lowercase,
    "print": string.ascii_letters + string.digits + string.punctuation + " ",
    "punct": string.punctuation,
    "space": string.whitespace,
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a pattern, between two slashes. ``separator`` is the slashes behind it, as typed.

    Either a ``literal`` name, or a ``pattern`` of names, or (both ``None``) every name.
    """

    literal: str | None = None
    pattern: re.Pattern[str] | None = None
    separator: str = ""

    def matches(self, name: str) -> bool:
        if self.literal is not None:
            return name == self.literal
        return self.pattern is None or self.pattern.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is watched: the folder ``base`` (absolute), and the steps from there; the last one names configs.

    ``shown`` is what the names of vassals begin with; ``directory`` the folder that they start in.
    """

    base: str
    steps: tuple[Step, ...]
    shown: str = ""
    directory: str | None = None


def plan_folder(argument: str, cwd: str) -> Plan:
    """Everything in one folder. Raises :class:`~emperor_trio.errors.UsageError`."""
    _check("dir", argument)
    folder = os.path.join(cwd, argument)
    folder = folder.rstrip("/") or "/"
    return Plan(folder, (Step(),), directory=folder)


def plan_pattern(argument: str, cwd: str) -> Plan:
    """The files that a pattern matches. Raises :class:`~emperor_trio.errors.UsageError`."""
    _check("glob", argument)
    parts = re.findall(r"([^/]*)(/+)|([^/]+)\Z", argument)
    steps = [_make_step(folder or name, slashes) for folder, slashes, name in parts]
    if steps[-1].separator:
        raise UsageError(f"glob://{argument}: ends with a slash, but patterns name configs: try glob://{argument}*.ini")
    shown = ""
    while len(steps) > 1 and steps[0].literal is not None:
        step = steps.pop(0)
        shown += (step.literal or "") + step.separator
    base = os.path.join(cwd, shown)
    return Plan(base.rstrip("/") or "/", tuple(steps), shown)


def has_wildcards(text: str) -> bool:
    return any(_make_step(part).literal is None for part in text.split("/"))


def join(folder: str, name: str) -> str:
    """The path of a name in a folder (folders are written without a slash at the end, but for the root)."""
    return f"{folder}/{name}" if folder != "/" else f"/{name}"


def _check(scheme: str, argument: str) -> None:
    if not argument or "\0" in argument:
        raise UsageError(f"{scheme}://: {argument!r} names no folder or file; write for example {scheme}:///etc/uwsgi")


def _make_step(part: str, separator: str = "") -> Step:
    """A part with wildcards becomes a pattern, any other a literal name, without its backslashes."""
    literal, regex, position = "", "", 0
    wild = False
    while position < len(part):
        char = part[position]
        if char == "[" and (end := _find_end(part, position)):
            regex += _translate_set(part[position + 1 : end])
            wild, position = True, end + 1
            continue
        if char in "*?":
            regex += ".*" if char == "*" else "."
            wild = True
        else:
            if char == "\\" and position + 1 < len(part):
                position += 1
                char = part[position]
            literal += char
            regex += re.escape(char)
        position += 1
    if not wild:
        return Step(literal=literal, separator=separator)
    visible = "" if regex.startswith(r"\.") else r"(?!\.)"
    return Step(pattern=re.compile(visible + re.sub(r"(\.\*)+", ".*", regex), re.DOTALL), separator=separator)


def _find_end(part: str, start: int) -> int | None:
    """Where the set that begins at ``start`` ends; ``None`` where it does not, and the bracket means itself."""
    position = start + 1
    if part[position : position + 1] in ("!", "^"):
        position += 1
    first = position
    while position < len(part):
        if part[position] == "]" and position > first:
            return position
        if part[position] == "[" and (kind := part[position + 1 : position + 2]) in (":", ".", "="):
            end = part.find(f"{kind}]", position + 2)
            position = end + 1 if end >= 0 else position
        elif part[position] == "\\":
            position += 1
        position += 1
    return None


def _translate_set(inside: str) -> str:
    """``[…]`` as a regular expression; ``inside`` is what stands between the brackets."""
    negated = inside[0] in "!^"
    rest = inside[negated:]
    members = ""
    while rest:
        if special := re.match(r"\[([:.=])(.*?)\1\]", rest, re.DOTALL):
            kind, name = special.groups()
            members += re.escape(_CLASSES.get(name, "") if kind == ":" else name)
            rest = rest[special.end() :]
            continue
        low, rest = _take_char(rest)
        if len(rest) > 1 and rest[0] == "-":
            high, rest = _take_char(rest[1:])
            members += f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
        else:
            members += re.escape(low)
    if not members:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{members}]"


def _take_char(text: str) -> tuple[str, str]:
    """The first character, and what is behind it; a backslash means the one after it."""
    if text[0] == "\\" and len(text) > 1:
        text = text[1:]
    return text[0], text[1:]
