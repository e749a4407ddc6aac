"""Access tokens: cached, refreshed once for all callers, and never lost."""
