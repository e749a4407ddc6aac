"""What Salesforce says on the wire, and the one place that sends. It knows no MCP and no database."""
