"""The commands that talk to a running emperor over its control channel.

``pages`` declares what each takes and teaches; ``start`` reads the words, and only then loads the command's own module
(with Trio and the client); ``link`` is how each of them talks; ``paint``, ``words`` and ``rows`` are how they look.
"""
