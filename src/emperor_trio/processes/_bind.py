"""Binds a unix socket to a path, and lets no one be fooled by what lies there.

As a module it serves the emperor itself. As a script it does the same with a tenant's rights: started as root with only
the standard library in sight (the tenant may not be able to read our files), it becomes the tenant first, so that the
kernel decides what may be created and removed. Only sockets on which nobody listens any more are removed.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
import stat
import sys


def bind_path(listener: socket.socket, path: str, mode: int) -> int:
    """Bind, with exactly this mode in the end. Returns a descriptor of the socket's place in the file system.

    Raises OSError; EADDRINUSE where a living socket, or anything that is no socket, has that path.
    """
    try:
        listener.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not _is_dead(path):
            raise
        os.unlink(path)
        listener.bind(path)
    place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(place)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
            raise OSError(errno.EADDRINUSE, "somebody replaced it", path)
        os.chmod(f"/proc/self/fd/{place}", mode)
    except OSError:
        os.close(place)
        raise
    return place


def chown_place(place: int, uid: int, gid: int) -> None:
    """Give the socket to somebody else; −1 leaves the user or the group as it is."""
    os.chown(f"/proc/self/fd/{place}", uid, gid)


def _is_dead(path: str) -> bool:
    """Whether it is a stream socket without a listener."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == errno.ECONNREFUSED


def main(arguments: list[str]) -> None:
    """``UID GID INITGROUPS NEW_UID NEW_GID MODE DESCRIPTOR BACKLOG PATH``: numbers, the mode in octal, INITGROUPS 0 or
    1; the path is absolute, or a name of the abstract namespace after an ``@``.

    Exit code 1 and an errno on stdout where it can't be done.
    """
    uid, gid, initgroups, new_uid, new_gid = map(int, arguments[:5])
    listener = socket.socket(fileno=int(arguments[6]))
    groups: list[int] = []
    if initgroups:
        try:
            user = pwd.getpwuid(uid)
            groups = os.getgrouplist(user.pw_name, user.pw_gid)
        except KeyError:
            groups = [gid]
    chown = (new_uid, new_gid) != (-1, -1)
    os.setgroups(groups)
    os.setresgid(gid, gid, 0 if chown else gid)
    kept = 0 if chown else uid  # while the real uid is root, the tenant can neither signal nor trace this process
    os.setresuid(kept, uid, kept)
    backlog, path = int(arguments[7]), arguments[8]
    if path.startswith("@"):
        listener.bind("\0" + path[1:])
        listener.listen(backlog)
        return
    place = bind_path(listener, path, int(arguments[5], 8))
    listener.listen(backlog)
    if chown:
        os.setresuid(0, 0, 0)
        chown_place(place, new_uid, new_gid)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.stdout.write(str(error.errno))
        sys.exit(1)
