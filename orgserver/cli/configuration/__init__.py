"""Fleets in git on the command line: files of YAML, their form, and the commands that apply and write them."""
