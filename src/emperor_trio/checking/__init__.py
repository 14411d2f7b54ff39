"""What can be said of vassals' configs before any of them is started: :class:`Checker` takes them one by one.

Files are read, with the caller's rights; nothing is started, bound or connected to. Where the vassals come from is
:mod:`emperor_trio.survey`'s.
"""

from emperor_trio.checking.checker import Checker, CheckRules
from emperor_trio.checking.findings import Finding, Level

__all__ = ["CheckRules", "Checker", "Finding", "Level"]
