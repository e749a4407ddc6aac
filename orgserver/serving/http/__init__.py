"""MCP over HTTP: many people and machines, each with a key or token of their own."""
