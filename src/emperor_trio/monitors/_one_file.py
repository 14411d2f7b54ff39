"""One file by its path, as the monitors of files see it, without watching it."""

from __future__ import annotations

import os

from emperor_trio.model import VassalSpec
from emperor_trio.monitors._entries import ABSENT, Absent, Entry, Failed, Found, Outcome, Refused, Rules, examine
from emperor_trio.monitors._rows import Wrong
from emperor_trio.ports import MonitorContext


def look_at_file(context: MonitorContext, path: str) -> VassalSpec | Wrong:
    """The vassal that ``glob://PATH`` would find. Blocks where the file system does; raises nothing."""
    match _outcome(Rules.of(context), path):
        case Found(spec):
            return spec
        case Refused(field, value, reason):
            return Wrong(path, field, value, reason)
        case Failed(error) | Absent(error):
            return Wrong(path, "file", repr(path), error or "there is no such file")
        case _:
            return Wrong(path, "file", repr(path), "it is still being written")


def _outcome(rules: Rules, path: str) -> Outcome:
    folder, file = os.path.split(path)
    try:
        descriptor = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        return Failed(os.strerror(getattr(error, "errno", None) or 0))
    try:
        status = os.stat(file, dir_fd=descriptor, follow_symlinks=False)
        return examine(Entry(path, file, descriptor, None), status, rules, lambda: (), None)
    except OSError as error:
        return Absent() if error.errno in ABSENT else Failed(os.strerror(error.errno or 0))
    finally:
        os.close(descriptor)
