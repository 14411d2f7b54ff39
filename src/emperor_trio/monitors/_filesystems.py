"""Whether inotify sees every change of a file system: those that only this machine can change, by their type.

Read from ``statfs``; what is not in the list (network file systems, FUSE, whatever is unknown) is scanned instead.
"""

from __future__ import annotations

import ctypes

_LOCAL = {
    0x0000EF53: "ext2, ext3, ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x858458F6: "ramfs",
    0x794C7630: "overlayfs: a container's own changes go through it; its layers are not to be changed from outside",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
    0x3153464A: "jfs",
    0x52654973: "reiserfs",
    0x00003434: "nilfs2",
    0x24051905: "ubifs",
    0x0000F15F: "ecryptfs",
    0x73717368: "squashfs",
    0xE0F5E1E2: "erofs",
    0x00009660: "iso9660",
    0x15013346: "udf",
    0x00004D44: "vfat",
    0x2011BAB0: "exfat",
    0x7366746E: "ntfs3",
}

_libc = ctypes.CDLL(None, use_errno=True)


def is_local(descriptor: int) -> bool:
    """Whether the file system that an open folder lies on is changed by this machine alone, for all we know."""
    answer = (ctypes.c_long * 64)()  # struct statfs, with room to spare; it begins with the type
    if _libc.fstatfs(descriptor, answer):
        return False
    return answer[0] & 0xFFFFFFFF in _LOCAL
