"""Commands about orgs."""
