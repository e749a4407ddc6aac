"""What is kept between runs: orgs, sealed credentials and tokens, and the audit log. It knows no HTTP."""
