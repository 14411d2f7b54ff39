"""Who is compared. Each peer knows how it is configured and started, and nothing about measuring."""

from benchmarks.peers.base import Peer, Place, Skill
from benchmarks.peers.emperors import OURS, PYUWSGI, UWSGI, EmperorPeer
from benchmarks.peers.limit import LimitPeer
from benchmarks.peers.python import CircusPeer, SupervisordPeer
from benchmarks.peers.scanners import RunitPeer, S6Peer

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (OURS, UWSGI, PYUWSGI, SupervisordPeer(), CircusPeer(), S6Peer(), RunitPeer(), LimitPeer())
}

__all__ = ["OURS", "PEERS", "PYUWSGI", "UWSGI", "EmperorPeer", "Peer", "Place", "Skill"]
