"""Messages of MCP over HTTP: how one is read from a request, and how its answer is sent."""
