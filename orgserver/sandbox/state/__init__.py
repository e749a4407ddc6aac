"""What a pretend org holds: records, schema, logins, and the rules they are held to."""
