"""What an inotify mask means to a monitor of files. Pure; :mod:`._inotify` brings the masks.

A write counts when it is finished (closed, or renamed into place), never while it goes on, so that no half-written file
is read.
"""

from __future__ import annotations

from enum import Enum

from inotify_simple import flags  # type: ignore[import-untyped]

STRUCTURE = int(flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO | flags.ATTRIB)
"""Names that come and go: what is asked of folders on the way, of which the content is no concern."""

ISDIR = int(flags.ISDIR)
OWN = int(flags.DELETE_SELF | flags.MOVE_SELF)
"""What befalls a folder itself: all that is asked of those above a watched one. What goes on in them (in /tmp that is
much, and anyone's doing) is no concern."""

REACH = int(flags.ATTRIB)
"""Whether a folder may be read; of the names in it, too, since the kernel does not tell them apart."""

CONTENT = STRUCTURE | OWN | int(flags.CLOSE_WRITE)
"""What is asked of a folder that holds configs, or the target of a link to one."""

BRANCH = STRUCTURE | OWN
"""What is asked of a folder whose folders match a part of a pattern."""


class Sign(Enum):
    """What happened to a name in a folder, or (the last two) to the folder itself."""

    NOTHING = "nothing"
    WRITTEN = "a finished write, or renamed into place"
    TOUCHED = "times, mode or owner set"
    CREATED = "created: complete where it is a link, otherwise its write is still to finish"
    LEFT = "deleted or renamed away"
    BRANCH = "a folder on the way came, went, or may be readable now"
    DELETED = "the folder itself was deleted"
    LOST = "the folder can't be watched any more: renamed away, unmounted, or its watch is gone"


def read_sign(mask: int, *, configs: bool) -> Sign:
    """The meaning of one event in a folder that holds ``configs``, or else folders that a pattern goes through."""
    if mask & flags.DELETE_SELF:
        return Sign.DELETED
    if mask & (flags.MOVE_SELF | flags.UNMOUNT | flags.IGNORED):
        return Sign.LOST
    if not configs:
        counts = mask & (STRUCTURE & ~flags.ATTRIB) or (mask & flags.ATTRIB and mask & flags.ISDIR)
        return Sign.BRANCH if counts else Sign.NOTHING
    if mask & (flags.DELETE | flags.MOVED_FROM):
        return Sign.LEFT
    if mask & flags.ISDIR:
        return Sign.NOTHING
    if mask & (flags.CLOSE_WRITE | flags.MOVED_TO):
        return Sign.WRITTEN
    if mask & flags.ATTRIB:
        return Sign.TOUCHED
    return Sign.CREATED if mask & flags.CREATE else Sign.NOTHING
