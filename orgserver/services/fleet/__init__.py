"""One query in many orgs at once."""
