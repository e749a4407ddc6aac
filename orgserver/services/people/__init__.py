"""Who calls: principals, groups, what they are granted, and their API keys."""
