"""The command line: parse, act, print."""
