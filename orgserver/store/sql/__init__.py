"""SQL that SQLite and PostgreSQL do not both understand."""
