"""HTTP/1.1 for the requests of calls: connections to one host, each carrying one request at a time."""
