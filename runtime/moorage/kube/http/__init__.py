"""HTTP/1.1 to one API server: connections, requests and streamed responses."""
