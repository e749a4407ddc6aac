"""A pretend org's REST and Bulk resources."""
