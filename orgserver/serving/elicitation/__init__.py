"""What people are led to by their clients, beside questions that a form answers."""
