"""Gathers options from the command line and from config files in uWSGI's order, following includes.

Which keys are options, and what their values mean, is not known here: only the keys of the config language itself.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping

from emperor_trio.errors import UsageError
from emperor_trio.formats.expand import Entry, Expander
from emperor_trio.formats.ini import read_ini
from emperor_trio.formats.items import Item, Reader
from emperor_trio.formats.json import read_json
from emperor_trio.formats.magic import Magic
from emperor_trio.formats.toml import read_toml
from emperor_trio.formats.xml import read_xml
from emperor_trio.formats.yaml import read_yaml

READERS: Mapping[str, Reader] = {
    ".ini": read_ini,
    ".xml": read_xml,
    ".yaml": read_yaml,
    ".yml": read_yaml,
    ".json": read_json,
    ".js": read_json,
    ".toml": read_toml,
}
"""The extensions of config files, and what reads them."""

LOADING_KEYS: Mapping[str, Reader | None] = {
    "ini": read_ini,
    "xml": read_xml,
    "xmlconfig": read_xml,
    "yaml": read_yaml,
    "yml": read_yaml,
    "json": read_json,
    "js": read_json,
    "config": None,
    "include": None,
    "inherit": None,
}
"""Keys whose value is a further config, and what reads it; ``None`` goes by its extension."""

SETTING_KEYS: Mapping[str, bool] = {"set": False, "set-placeholder": True, "set-ph": True}
"""Keys whose value is ``NAME=VALUE``; true where NAME can be a placeholder only."""

_LOGIC = re.compile(r"(for|if|ifenv|ifexists|ifplugin|ifdir|else|end|endfor|endif)(-.*)?")
_OTHER_LOGIC = {
    "declare-option", "declare-option2", "resolve", "blacklist", "whitelist", "inject-before", "inject-after", "mode",
}  # fmt: skip
_SCHEME = re.compile(r"[a-z][a-z0-9+]*://", re.IGNORECASE)

LARGEST_FILE = 4 << 20
"""No config or ``@(file)`` is larger than this many bytes."""

MOST_FILES = 200
"""No more configs are read than these: includes that double each other end there."""


class Configuration:
    """All options in the order in which they count, each with its place.

    ``entries`` holds them, before any placeholder in them is replaced; :meth:`expand` does that. ``placeholders`` holds
    the names that ``set-placeholder`` made, which are no options. ``first_magic`` makes the magic variables of the
    process; it is called only if there is a file that may use them.
    """

    def __init__(self, first_magic: Callable[[], Magic], environ: Mapping[str, str]) -> None:
        self.entries: list[Entry] = []
        self.placeholders: set[str] = set()
        self._first_magic = first_magic
        self._magic: Magic | None = None
        self._expander = Expander(environ, _read_text)
        self._inherited: list[tuple[Entry, str | None]] = []
        self._reading: list[str] = []
        self._files = 0

    def add(self, item: Item, magic: Magic | None = None, current: str | None = None) -> None:
        """Take one option, and all that it includes. ``current`` is the file it stands in, for ``ini = :section``."""
        entry = Entry(item, magic)
        if is_logic(item.key):
            raise UsageError(
                f"{item}: conditions, loops and other logic are not supported in configs;"
                " write out what they would come to, or generate the file"
            )
        if item.key in LOADING_KEYS and item.key != "inherit":
            self._load(entry, current)
        elif item.key == "inherit":
            self._inherited.append((entry, current))
        elif item.key in SETTING_KEYS:
            self._set(item, magic)
        else:
            self.entries.append(entry)
            self._expander.define(entry)

    def load(self, path: str, place: str) -> None:
        """Read a config as if by ``include``."""
        self._load(Entry(Item("include", path, place), None), None)

    def finish(self) -> None:
        """Read what was to be inherited: it comes last, as in uWSGI."""
        while self._inherited:
            self._load(*self._inherited.pop(0))

    def expand(self, entry: Entry) -> str | None:
        return self._expander.expand(entry)

    def _set(self, item: Item, magic: Magic | None) -> None:
        name, equals, value = (item.value or "").partition("=")
        if not name.strip() or not equals or name in SETTING_KEYS:
            raise UsageError(f"{item}: expected NAME=VALUE")
        made = Item(name, value, item.place)
        if SETTING_KEYS[item.key]:
            self.placeholders.add(name)
            self.entries.append(Entry(made, magic))
            self._expander.define(Entry(made, magic))
        else:
            self.add(made, magic)

    def _load(self, entry: Entry, current: str | None) -> None:
        item = entry.item
        named = self._expander.expand(entry) or ""
        path, section = _split(named)
        if section is not None:
            path = path or current or ""
        where = str(Item(item.key, named, item.place))
        if not path:
            raise UsageError(f"{where}: expected a file")
        if _SCHEME.match(path):
            raise UsageError(f"{where}: configs are read from files only; save it to a file, and name that")
        reader = LOADING_KEYS.get(item.key) or _reader_of(path, where)
        try:
            place = f"{os.path.realpath(path)}:{section}"
            data = _read_file(path)
            self._magic = magic = (self._magic or self._first_magic()).of_file(path, section)
        except (OSError, ValueError, UsageError) as error:
            raise UsageError(f"{where}: {error}") from None
        if place in self._reading:
            raise UsageError(f"{where}: this config is being read already; it includes itself")
        self._files += 1
        if self._files > MOST_FILES:
            raise UsageError(f"{where}: more than {MOST_FILES} configs are included")
        items = reader(data, path, section)
        if items is None:
            raise UsageError(f"{where}: the file has no section {section or 'uwsgi'}; write one, or name another")
        self._reading.append(place)
        for inner in items:
            self.add(inner, magic, path)
        self._reading.pop()


def is_logic(key: str) -> bool:
    """Whether a key belongs to uWSGI's logic in configs (``if-env``, ``for``, …), which is refused."""
    return key in _OTHER_LOGIC or _LOGIC.fullmatch(key) is not None


def is_config(path: str) -> bool:
    """Whether a path, or ``PATH:SECTION``, ends as a config does."""
    return os.path.splitext(_split(path)[0])[1] in READERS


def _split(named: str) -> tuple[str, str | None]:
    """``PATH:SECTION`` in two; a section that is empty is none. A file that has the colon in its name is a file."""
    path, colon, section = named.rpartition(":")
    if not colon or "/" in section or os.path.exists(named):
        return named, None
    return path, section or None


def _reader_of(path: str, where: str) -> Reader:
    extension = os.path.splitext(path)[1]
    if extension in READERS:
        return READERS[extension]
    raise UsageError(f"{where}: the file's name must end in one of {' '.join(READERS)}")


def _read_text(path: str) -> str:
    """What ``@(PATH)`` stands for: the content without its last line's end."""
    if _SCHEME.match(path):
        raise UsageError(f"@({path}): only files can be read here")
    return _read_file(path).decode("utf-8", "surrogateescape").removesuffix("\n")


def _read_file(path: str) -> bytes:
    """The content of a file, or of standard input for ``-``. Blocks as long as a pipe does."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read(LARGEST_FILE + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} can't be read: {reason}") from None
    if len(data) > LARGEST_FILE:
        raise UsageError(f"{path} can't be read: it is larger than {LARGEST_FILE >> 20} MiB")
    return data
