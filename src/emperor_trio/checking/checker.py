"""Looks at vassals one by one: their configs' syntax and keys, the paths in them, and the sockets that they bind."""

from __future__ import annotations

import difflib
import grp
import os
import pwd
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache

from emperor_trio.checking.addresses import MAX_PATH, Binder, Bound, Inet, Unix, binds, read_address, real_path
from emperor_trio.checking.files import Unreadable, read_config
from emperor_trio.checking.findings import Finding, Level, shown
from emperor_trio.checking.reading import Reading, Shared, Source, reader_of
from emperor_trio.formats import Item, Magic, is_logic
from emperor_trio.formats.load import LOADING_KEYS, SETTING_KEYS
from emperor_trio.model import Owner, VassalSpec

MOST_FINDINGS = 20
"""What is told of one vassal; the rest is counted."""

MOST_SOCKETS = 256
"""How many sockets of one vassal are compared with those of others."""

MOST_GUESSES = 300
"""For how many unknown keys the nearest option is sought: it takes milliseconds each."""

_FOLDERS = frozenset({"chdir", "virtualenv", "home", "venv", "pyhome"})
_FILES = frozenset({"wsgi-file", "file"})
_OWN_NETWORK = frozenset({"unshare", "unshare2", "setns", "jail", "jail2", "namespace-net", "ns-net"})
_ON_DEMAND = "its socket on demand"


@dataclass(frozen=True, slots=True)
class CheckRules:
    """What the emperor's options mean to a check, and ``options``: all that uWSGI and the emperor know.

    ``directory`` is where vassals without a folder of their own start, absolute. ``separate_networks`` says that each
    has TCP ports of its own. ``reserved`` are addresses that the emperor binds itself, by the option that says so.
    """

    options: Collection[str]
    directory: str
    version: str = ""
    tyrant: bool = False
    separate_networks: bool = False
    inherit_before: tuple[str, ...] = ()
    include_before: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    inherit: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    reserved: tuple[tuple[str, str], ...] = ()


class Checker:
    """Hands each finding to ``tell`` at once. What it keeps is the sockets that are bound, and counts."""

    def __init__(self, rules: CheckRules, tell: Callable[[Finding], None]) -> None:
        self.rules = rules
        self.tell = tell
        self._bound = Bound()
        self.shared: Shared = {}
        self._guesses: dict[str, str] = {}
        self._magic = Magic().of_process(rules.version)
        for key, text in rules.reserved:
            address = read_address("socket", text)
            if address is not None:
                self.take(Binder("", "", "", f"the emperor's --{key}"), address, rules.directory)

    def check(self, monitor: str, spec: VassalSpec, *, named: bool = False, runs: bool = True) -> None:
        """Look at one vassal. ``named`` is a file that was given itself, and not by a monitor.

        What will not run (``runs``) keeps no socket from others. Nothing is raised for what a tenant can do.
        """
        _Look(self, monitor, spec, named=named, runs=runs).all()

    def magic_for(self, home: str, owner: Owner | None) -> Magic:
        """The magic variables of a vassal's process."""
        letters = {**self._magic.letters, "v": home}
        if owner is not None:
            letters |= {"u": str(owner.uid), "U": _user(owner.uid), "g": str(owner.gid), "G": _group(owner.gid)}
        return Magic(letters)

    def guess(self, key: str) -> str:
        """What an unknown key was meant to be, for the end of a sentence."""
        if key not in self._guesses:
            if len(self._guesses) >= MOST_GUESSES:
                return ""
            near = next(iter(difflib.get_close_matches(key[:60], self.rules.options, 1, 0.6)), "")
            self._guesses[key] = f"; did you mean {near}?" if near else ""
        return self._guesses[key]

    def take(self, binder: Binder, address: Inet | Unix, folder: str) -> tuple[Binder | None, str]:
        """Bind an address; who has it already, and its whole name. ``folder`` is where relative paths begin."""
        if isinstance(address, Inet):
            return self._bound.take_port(address, binder), str(address)
        path = address.path if address.abstract else real_path(os.path.join(folder, address.path))
        return self._bound.take_path(path, binder), path


class _Look:
    """One vassal being looked at."""

    def __init__(self, checker: Checker, monitor: str, spec: VassalSpec, *, named: bool, runs: bool) -> None:
        self.checker, self.rules = checker, checker.rules
        self.monitor, self.spec, self.runs = monitor, spec, runs
        self.owner = spec.owner if self.rules.tyrant else None
        self.home = os.path.join(self.rules.directory, spec.directory or "")
        self.path = os.path.join(self.home, spec.name) if spec.config is None else ""
        if named or (spec.config is None and not spec.directory):
            self.shown = spec.name
        else:
            self.shown = os.path.join(spec.directory or "", spec.name) if self.path else f"{monitor} {spec.name}"
        self.told: dict[Finding, None] = {}
        self.untold = 0

    def all(self) -> None:
        self.reading = Reading(
            self.home, self.checker.magic_for(self.home, self.owner), self.owner, self.note, self.checker.shared
        )
        if self.read():
            self.check_keys()
            self.check_paths()
            self.check_sockets()
        elif self.runs and self.spec.socket is not None:
            self.bind_on_demand()
        if self.untold:
            self.tell(Level.WARNING, self.shown, f"{self.untold} more findings; mend these first, then check again")

    # --- findings ---

    def note(self, level: Level, place: str, text: str, key: str = "", value: str = "") -> None:
        finding = self.make(level, place, text, key, value)
        if finding in self.told:
            return
        if len(self.told) >= MOST_FINDINGS:
            self.untold += 1
            return
        self.told[finding] = None
        self.checker.tell(finding)

    def tell(self, level: Level, place: str, text: str) -> None:
        self.checker.tell(self.make(level, place, text, "", ""))

    def make(self, level: Level, place: str, text: str, key: str, value: str) -> Finding:
        return Finding(level, self.monitor, self.spec.name, place, shown("", key), shown(key, value), shown("", text))

    def blame(self, level: Level, item: Item, text: str) -> None:
        self.note(level, item.place, text, item.key, item.value or "")

    # --- its config ---

    def read(self) -> bool:
        """Gather all entries; whether there are any to speak of."""
        spec, rules, reading = self.spec, self.rules, self.reading
        if spec.executable:
            text = "its file is executed for its config (--emperor-magic-exec), which is not done here: not checked"
            self.note(Level.WARNING, self.shown, text)
            return False
        reader = reader_of(spec.name)
        if reader is None:
            return False  # --emperor-extra-extension: uWSGI's plugins know what it is
        data = spec.config
        if data is None:
            try:
                data = read_config(self.path, self.owner)
            except Unreadable as error:
                self.note(Level.ERROR, self.shown, str(error))
                return False
        reading.include("inherit-before", rules.inherit_before)
        reading.include("include-before", rules.include_before)
        reading.set(rules.sets)
        name = spec.name if self.path else f"emperor://{spec.name}"
        there = reading.take(data, reader, Source(self.shown, self.path, name))
        if not there and not (rules.inherit or rules.include or rules.inherit_before or rules.include_before):
            section = "section [uwsgi]" if reader is reader_of(".ini") else "uwsgi in it"
            self.note(Level.WARNING, self.shown, f"there is no {section}: uWSGI takes nothing from this config")
        reading.include("inherit", rules.inherit)
        reading.include("include", rules.include)
        reading.finish()
        return True

    def check_keys(self) -> None:
        reading, options = self.reading, self.rules.options
        strict = any(entry.item.key == "strict" for entry in reading.sure)
        known = reading.placeholders | reading.declared | reading.named
        for entry in reading.entries:
            key = entry.item.key
            if key in options or key in known or key in LOADING_KEYS or key in SETTING_KEYS or is_logic(key):
                continue
            # The value is not shown: nobody knows whether it is a password.
            if strict:
                text = f"no option of uWSGI, and this config is strict: the vassal leaves{self.checker.guess(key)}"
                self.note(Level.ERROR, entry.item.place, f"{key}: {text}")
            else:
                text = f"no option of uWSGI, and no %({key}) uses it as a placeholder{self.checker.guess(key)}"
                self.note(Level.WARNING, entry.item.place, f"{key}: {text}")

    def check_paths(self) -> None:
        self.base: str | None = self.home
        self.root = ""
        for entry in self.reading.sure:
            key = entry.item.key
            if key in _FOLDERS or key in _FILES or key == "chroot":
                value = self.reading.value(entry)
                if key == "chdir":
                    self.base = None if value is None else os.path.join(self.home, value)
                if key == "chroot" and value:
                    self.root = value.rstrip("/")
                if value and value.startswith("/") and not self.root and not _exists(value):
                    what = "file" if key in _FILES else "folder"
                    self.blame(Level.WARNING, entry.item, f"there is no such {what}; make it, or mend the path")

    # --- its sockets ---

    def check_sockets(self) -> None:
        if self.runs and self.spec.socket is not None:
            self.bind_on_demand()
        keys = {entry.item.key for entry in self.reading.sure}
        shares = "reuse-port" in keys
        apart = self.rules.separate_networks or bool(keys & _OWN_NETWORK)
        count = 0
        for entry in self.reading.sure:
            item = entry.item
            if not binds(item.key):
                continue
            value = self.reading.value(entry)
            address = read_address(item.key, value) if value else None
            if address is None:
                continue
            if isinstance(address, Unix) and not self.check_unix(item, address):
                continue
            count += 1
            if not self.runs or count > MOST_SOCKETS or (apart and isinstance(address, Inet)):
                continue
            binder = Binder(self.monitor, self.spec.name, item.place or self.shown, item.key, shares)
            if isinstance(address, Unix) and not address.abstract:
                address = Unix(self.root + os.path.join(self.base or "", address.path))
            self.judge(item, binder, *self.checker.take(binder, address, self.home))

    def check_unix(self, item: Item, address: Unix) -> bool:
        """Whether the address can be compared with others."""
        size = len(os.fsencode(address.path))
        if size > MAX_PATH:
            text = f"a unix socket's path has {MAX_PATH} bytes at most, this one {size}; choose a shorter one"
            self.blame(Level.ERROR, item, text)
            return False
        if address.abstract:
            return True
        if "/" in address.path and ":" in address.path:
            return False
        if address.path.isdecimal():
            text = f"a unix socket named {address.path}; if a port is meant, write :{address.path}"
            self.blame(Level.WARNING, item, text)
        if self.base is None and not address.path.startswith("/"):
            return False
        if not self.root:
            folder = os.path.dirname(os.path.join(self.base or "", address.path))
            if not _exists(folder) and folder != self.base:
                text = f"there is no folder {folder}: the vassal can't bind the socket; make it first"
                self.blame(Level.WARNING, item, text)
        return True

    def judge(self, item: Item, binder: Binder, first: Binder | None, where: str) -> None:
        if first is None:
            return
        own = (first.monitor, first.vassal) == (binder.monitor, binder.vassal)
        if own and first.key == _ON_DEMAND:
            text = f"the emperor waits on {where} itself and hands it over as descriptor 0; write fd://0 instead"
        elif own:
            text = f"{where} is bound twice, in {first}, too; remove one of them"
        else:
            text = f"{where} is bound by {first}, too, and only one of them gets it; choose another"
        self.blame(Level.ERROR, item, text)

    def bind_on_demand(self) -> None:
        """The socket on which the emperor waits for this vassal."""
        text = self.spec.socket or ""
        address = Unix(text) if "/" in text else read_address("socket", text)
        if isinstance(address, Unix) and len(os.fsencode(os.path.join(self.home, text))) > MAX_PATH:
            told = f"{_ON_DEMAND}, {text}: a unix socket's path has {MAX_PATH} bytes at most; choose a shorter one"
            self.note(Level.ERROR, self.shown, told)
        elif address is not None:
            binder = Binder(self.monitor, self.spec.name, self.shown, _ON_DEMAND)
            first, where = self.checker.take(binder, address, self.home)
            if first is not None:
                told = f"{_ON_DEMAND}: {where} is bound by {first}, too, and only one of them gets it; choose another"
                self.note(Level.ERROR, self.shown, told)


def _exists(path: str) -> bool:
    """False only where that is sure."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


@cache
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@cache
def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
