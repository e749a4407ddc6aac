"""Who somebody is who signs in, and their sessions."""
