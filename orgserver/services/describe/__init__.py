"""What orgs say of their objects and fields, cached and looked up."""
