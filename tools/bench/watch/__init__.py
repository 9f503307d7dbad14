"""What the watch cache costs, beside client-go's informer: `task bench:watch`.

Both readers keep all pods (indexed by node and by controller) and nodes of the same API server, one after the other in
processes of their own, in interleaved rounds; medians count. Each measures itself (getrusage, /proc/self/status).

Two sources, because they answer different questions:

* **A real API server** with real writes: memory, first sync and CPU per event, everything included that an event costs
  in life (TLS, HTTP/2 for client-go, one wake-up per event). It makes only so many events a second as it can write, so
  it cannot show what a reader could digest.
* **A replay** of recorded real events from memory over TLS (`replay.py`), the same bytes for both: events per second
  that a reader digests when it has fallen behind.

Memory is plain RSS some seconds after the sync, as `kubectl top` would show it: neither runtime is asked to collect or
return memory first, because no real user does that.
"""
