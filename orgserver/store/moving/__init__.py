"""Moving a store from one database to another."""
