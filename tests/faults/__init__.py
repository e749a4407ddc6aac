"""Faults on purpose: `python -m tests.faults` at length, a quick size of each in the test suite."""
