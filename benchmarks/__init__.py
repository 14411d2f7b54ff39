"""Measures emperors side by side on one machine: ours and uWSGI's, over the same tiny vassals.

``python -m benchmarks`` runs it; ``docs/benchmarks.md`` says what the figures mean. Nothing here asserts a time.
"""
