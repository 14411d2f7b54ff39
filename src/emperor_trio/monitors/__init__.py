"""The imperial monitors: each watches one source and says which vassals it sees. One file a scheme."""

from emperor_trio.monitors._registry import FoundMonitor, find_monitor, list_schemes, split_monitor
from emperor_trio.monitors._state import StateFile, StoredHolds

__all__ = ["FoundMonitor", "StateFile", "StoredHolds", "find_monitor", "list_schemes", "split_monitor"]
