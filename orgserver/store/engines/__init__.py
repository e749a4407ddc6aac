"""What databases the store can lie in, and how each is opened, written, read and closed."""
