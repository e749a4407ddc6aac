"""The MCP server through which AI agents work in many Salesforce orgs at once, safely."""

__version__ = "0.1.0"
