"""The configuration files of MCP clients: where each is, what stands in it, and changing it without loss."""
