"""Fleets in git: what files say of orgs, groups and principals, compared with the store and carried out."""
