"""Who is signed in: clients, requests under way, sessions, and digests of what they hold."""
