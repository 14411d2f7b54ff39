"""Turns specs into live processes: the launch, sockets, the pipes, exits and hooks. Decides nothing about vassals."""

from emperor_trio.processes.launch import LaunchPolicy
from emperor_trio.processes.limits import raise_descriptor_limit
from emperor_trio.processes.spawner import SystemSpawner

__all__ = ["LaunchPolicy", "SystemSpawner", "raise_descriptor_limit"]
