"""The control channel: its messages, the emperor's side of it, and a client."""
