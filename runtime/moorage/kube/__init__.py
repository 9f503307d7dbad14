"""Access to the API server: HTTP, credentials, watch caches, writes, leases, Events. No other package talks to it."""
