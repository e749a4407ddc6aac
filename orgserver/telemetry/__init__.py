"""What an OpenTelemetry collector is told: spans and metrics of calls, and our log records.

All of it is an optional extra, and asked for by the standard ``OTEL_*`` environment alone. ``signals`` says what is
asked for and needs nothing; ``trace_context`` needs what the MCP SDK brings; the other modules need the extra.
"""
