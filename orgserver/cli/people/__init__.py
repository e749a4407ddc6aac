"""The commands about who calls: principals, groups, grants and API keys."""
