"""Logging in to Salesforce: OAuth requests and replies, assertions and the keys that sign them."""
