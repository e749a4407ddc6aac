"""Connections of clients to the server, before anything is known of who they are."""
