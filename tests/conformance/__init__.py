"""The official MCP conformance suite against our server, and the same assertions without npm."""
