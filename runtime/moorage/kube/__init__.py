"""The only package that talks HTTP to the API server: access, transport, watch caches, writes, leases, events."""
