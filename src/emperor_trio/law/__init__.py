"""The pure rules: no Trio, no clock, no randomness, no I/O. Every one is a table in the tests."""
