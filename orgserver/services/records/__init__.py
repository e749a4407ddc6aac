"""Reading and writing one record: its operation, its values, and what would be refused."""
