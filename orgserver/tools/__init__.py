"""The MCP tools: typed arguments in, one service called, a shaped reply out. No logic lives here."""
