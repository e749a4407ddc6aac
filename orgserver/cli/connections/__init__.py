"""The commands about logins of people's own."""
