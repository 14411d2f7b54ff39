"""Turns specs into live processes: the launch, sockets, the pipes, exits and hooks. Decides nothing about vassals."""

from emperor_trio.processes.binary import choose_programs
from emperor_trio.processes.launch import LaunchPolicy
from emperor_trio.processes.limits import raise_descriptor_limit
from emperor_trio.processes.outputs import LogFolder, LogPipes
from emperor_trio.processes.spawner import SystemSpawner

__all__ = ["LaunchPolicy", "LogFolder", "LogPipes", "SystemSpawner", "choose_programs", "raise_descriptor_limit"]
