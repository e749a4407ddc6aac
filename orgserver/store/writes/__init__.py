"""Changes on their way into the store: those that wait, and those that need not."""
