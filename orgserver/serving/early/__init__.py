"""What a client is answered before there is a server."""
