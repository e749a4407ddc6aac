"""Policies on the command line: the options that set limits, policy files, and what a policy would say to a call."""
