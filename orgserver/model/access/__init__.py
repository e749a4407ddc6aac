"""Who may what: principals and what they were granted, policies, and acts that are allowed or not."""
