"""Shipping the audit log away: to a folder or a bucket, in parts that verify alone, each event exactly once."""
