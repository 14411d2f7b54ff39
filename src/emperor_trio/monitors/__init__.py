"""The imperial monitors: each watches one source and says which vassals it sees. One file a scheme."""

from emperor_trio.monitors._registry import FoundMonitor, find_monitor, list_schemes, split_monitor

__all__ = ["FoundMonitor", "find_monitor", "list_schemes", "split_monitor"]
