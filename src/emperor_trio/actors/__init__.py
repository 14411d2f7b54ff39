"""The actors: thin shells that feed the pure rules and carry out what they answer."""
