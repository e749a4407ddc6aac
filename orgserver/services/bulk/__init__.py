"""Many records changed by one call."""
