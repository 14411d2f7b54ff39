"""Turns specs into live processes: the launch, sockets, the pipes, exits and hooks. Decides nothing about vassals."""
