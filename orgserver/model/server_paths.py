"""Paths of this server over HTTP that more than one layer names."""

from __future__ import annotations

MCP_PATH = "/mcp"
