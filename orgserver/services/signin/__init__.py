"""Own sign-in: people come by their company's identity provider, and their clients get tokens of ours."""
