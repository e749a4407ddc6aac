"""How clients reach the server: over standard input and output."""
