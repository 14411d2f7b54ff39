"""One vassal's config with all that it includes, as its uWSGI would gather it; what is wrong on the way is noted.

It is more patient than :class:`~emperor_trio.formats.Configuration`, which reads the emperor's own: a config that can't
be read costs itself, and logic is not followed but allowed.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass

from emperor_trio.checking.files import Unreadable, read_config
from emperor_trio.checking.findings import Level, Note
from emperor_trio.errors import UsageError
from emperor_trio.formats import READERS, Entry, Expander, Item, Magic, Reader, is_logic, references
from emperor_trio.formats.load import LOADING_KEYS, SETTING_KEYS
from emperor_trio.model import Owner

MOST_FILES = 50
"""No more configs are read for one vassal: includes that double each other end there."""

BUDGET = 1 << 20
"""Characters that the placeholders of one vassal may come to."""

_SCHEME = re.compile(r"[a-z][a-z0-9+]*://", re.IGNORECASE)
_LEFT = re.compile(r"[$@%]\([^()]*\)")
_DECLARATION = re.compile(r"([^=;]+)")

Shared = MutableMapping[tuple[str, str | None], "list[Item] | None"]
"""Configs that every vassal includes, read once: by path and section."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a config stands: ``shown`` is what people read, ``path`` the file's absolute path ("" where there is none).

    ``name`` is what uWSGI is told.
    """

    shown: str
    path: str
    name: str


class Reading:
    """Gathers the entries of one vassal, in the order in which they count.

    ``home`` is the folder that the vassal starts in, ``magic`` the magic variables of its process; ``note`` takes what
    is wrong. ``sure`` holds the entries outside of any logic, ``declared`` the options that the config makes itself.
    """

    def __init__(self, home: str, magic: Magic, owner: Owner | None, note: Note, shared: Shared) -> None:
        self.entries: list[Entry] = []
        self.sure: list[Entry] = []
        self.placeholders: set[str] = set()
        self.declared: set[str] = set()
        self.named: set[str] = set()
        self._home = home
        self._magic = magic
        self._owner = owner
        self._note = note
        self._shared = shared
        self._expander = Expander({}, None, BUDGET)
        self._inherited: list[tuple[Entry, Source]] = []
        self._open: list[tuple[str, str | None]] = []
        self._files = 0
        self._depth = 0

    # --- what is read ---

    def take(self, data: bytes, reader: Reader, source: Source) -> bool:
        """The vassal's own config; whether it has the section that counts."""
        items = self._parse(data, reader, source, None)
        if items is not None:
            self._take_items(items, source, None)
        return items is not None

    def include(self, key: str, names: Iterable[str]) -> None:
        """What the emperor adds to every vassal's config with ``--vassals-KEY``."""
        for name in names:
            path, section = split_section(name, self._home)
            path = os.path.join(self._home, path)
            source = Source(path, path, name)
            if (path, section) not in self._shared:
                try:
                    reader = _reader_of(key, path)
                    data = read_config(path, self._owner)
                except Unreadable as error:
                    text = f"--vassals-{key} {name}: {error}; without it no vassal starts"
                    self._note(Level.ERROR, path, text)
                    self._shared[path, section] = None
                else:
                    self._shared[path, section] = self._parse(data, reader, source, section) if reader else None
            items = self._shared[path, section]
            if items is not None:
                self._take_items(items, source, section)

    def set(self, pairs: Iterable[str]) -> None:
        """``--vassal-set``."""
        for pair in pairs:
            self._add(Item("set", pair, "--vassal-set"), self._magic, Source("", "", ""))

    def finish(self) -> None:
        """Read what was to be inherited: it comes last, as in uWSGI."""
        while self._inherited:
            self._load(*self._inherited.pop(0))

    # --- what it comes to ---

    def value(self, entry: Entry) -> str | None:
        """A value with all replaced; ``None`` where that can't be told from here, or was noted to be wrong.

        The environment, and files in ``@(…)``, are the vassal's own affair: they are not looked at.
        """
        try:
            value = self._expander.expand(entry)
        except UsageError as error:
            text = str(error).removeprefix(f"{entry.item}: ")
            self._note(Level.WARNING, entry.item.place, text, entry.item.key, entry.item.value or "")
            return None
        return None if value is None or _LEFT.search(value) else value

    # --- inside ---

    def _parse(self, data: bytes, reader: Reader, source: Source, section: str | None) -> list[Item] | None:
        try:
            return reader(data, source.shown, section)
        except UsageError as error:
            place, text = _split_place(str(error), source.shown)
            self._note(Level.ERROR, place, text)
        except (RecursionError, MemoryError):
            self._note(Level.ERROR, source.shown, "not a config: nested too deeply")
        return []

    def _take_items(self, items: Iterable[Item], source: Source, section: str | None) -> None:
        self._files += 1
        magic = self._magic_of(source, section)
        for item in items:
            self._add(item, magic, source)

    def _add(self, item: Item, magic: Magic, source: Source) -> None:
        self.named.update(references(item.value or ""))
        if is_logic(item.key):
            self._take_logic(item)
            return
        entry = Entry(item, magic)
        if item.key in SETTING_KEYS:
            self._set(item, magic, source)
        elif item.key == "inherit":
            self._inherited.append((entry, source))
        elif item.key in LOADING_KEYS:
            self._load(entry, source)
        else:
            self.entries.append(entry)
            self._expander.define(entry)
            if not self._depth:
                self.sure.append(entry)

    def _take_logic(self, item: Item) -> None:
        if item.key in ("declare-option", "declare-option2"):
            found = _DECLARATION.match(item.value or "")
            if found is not None:
                self.declared.add(found[1].strip())
        elif item.key.startswith("end"):
            self._depth = max(0, self._depth - 1)
        elif item.key.startswith(("if", "for")):
            self._depth += 1

    def _set(self, item: Item, magic: Magic, source: Source) -> None:
        name, equals, value = (item.value or "").partition("=")
        if not name.strip() or not equals or name in SETTING_KEYS:
            text = f"expected NAME=VALUE; write {item.key} = NAME=VALUE"
            self._note(Level.WARNING, item.place, text, item.key, item.value or "")
            return
        if SETTING_KEYS[item.key]:
            self.placeholders.add(name)
        self._add(Item(name, value, item.place), magic, source)

    def _load(self, entry: Entry, source: Source) -> None:
        item = entry.item
        named = self.value(entry)
        if named is None or self._depth or _SCHEME.match(named) or named in ("", "-"):
            return
        path, section = split_section(named, self._home)
        path = os.path.join(self._home, path) if path else source.path
        if not path:
            return  # a section of a config that a server holds
        try:
            if (path, section) in self._open:
                raise Unreadable("it includes itself")
            if self._files >= MOST_FILES:
                raise Unreadable(f"more than {MOST_FILES} configs are included")
            reader = _reader_of(item.key, path)
            data = read_config(path, self._owner)
        except Unreadable as error:
            advice = "; the vassal does not start without it: write it, or remove this line" if error.missing else ""
            self._note(Level.WARNING, item.place, f"{error}{advice}", item.key, item.value or "")
            return
        if reader is None:
            return
        inner = Source(path, path, named)
        items = self._parse(data, reader, inner, section)
        if items is None:
            text = f"the file has no section {section or 'uwsgi'}; write one, or name another"
            self._note(Level.WARNING, item.place, text, item.key, item.value or "")
            return
        self._open.append((path, section))
        self._take_items(items, inner, section)
        self._open.pop()

    def _magic_of(self, source: Source, section: str | None) -> Magic:
        """What no letter stands for is nothing to uWSGI, and so are all letters of a file where there is none."""
        if not source.path:
            return Magic(defaultdict(str, {**self._magic.letters, "o": source.name}))
        letters = dict(self._magic.of_file(source.path, section).letters)
        letters["o"] = source.name
        self._magic = Magic({**self._magic.letters, **{key: value for key, value in letters.items() if key.isupper()}})
        return Magic(defaultdict(str, letters))


def reader_of(path: str) -> Reader | None:
    """What reads a config of this name; ``None`` where that is for a plugin of uWSGI to know."""
    return READERS.get(os.path.splitext(path)[1])


def split_section(named: str, home: str) -> tuple[str, str | None]:
    """``PATH:SECTION`` in two; a file that has the colon in its name is a file."""
    path, colon, section = named.rpartition(":")
    if not colon or "/" in section or os.path.lexists(os.path.join(home, named)):
        return named, None
    return path, section or None


def _reader_of(key: str, path: str) -> Reader | None:
    return LOADING_KEYS.get(key) or reader_of(path)


def _split_place(text: str, shown_name: str) -> tuple[str, str]:
    """What a reader says, ``NAME:LINE: TEXT`` or ``NAME: TEXT``, in two."""
    rest = text.removeprefix(shown_name)
    if rest == text:
        return shown_name, text
    found = re.match(r"(:\d+)?: ", rest)
    return (shown_name + (found[1] or ""), rest[found.end() :]) if found else (shown_name, rest)
