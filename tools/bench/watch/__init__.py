"""What the watch cache costs, beside client-go's informer: `task bench:watch`.

Both readers keep all pods (indexed by node and by controller) and nodes of the same API server, one after the other in
processes of their own, in interleaved rounds; medians count. Each measures itself (getrusage, /proc/self/status).

Two sources, because they answer different questions:

* **A replay** of recorded real events from memory over TLS (`replay.py`), the same events for both in the encoding that
  each asks for (client-go: protobuf): events per second that a reader digests when it has fallen behind, and its CPU
  per event while it does. It measures the reader and nothing else, long enough for Go's collector to take its regular
  part: these are the figures with a target.
* **A real API server**: memory and first sync; and CPU per event as it comes, at most some hundreds a second, when most
  of the CPU is for waking up (network, TLS record, event loop) and not for the event. It depends on what else the
  machine does, here the API server, etcd and the loader on the same cores, so only the ratio to the peer has a target.

Memory is plain RSS some seconds after the sync, as `kubectl top` would show it: neither runtime is asked to collect or
return memory first, because no real user does that.
"""
