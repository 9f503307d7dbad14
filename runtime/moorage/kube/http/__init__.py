"""HTTP/1.1 to one API server: connections, requests, and answers that are read while they come."""
