"""People's own logins to orgs: how one is given, to whom it belongs, and how it ends."""
