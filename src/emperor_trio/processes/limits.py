"""The limit of descriptors: as high as it may be for the emperor, as it was for vassals. The daemon's alone."""

from __future__ import annotations

import resource


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one; the soft limit before, which vassals get back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
