"""The cost of the watch cache beside client-go's informer: `task bench:watch`.

Both readers cache all pods (indexed by node and by controller) and nodes of the same API server. They run in separate
processes in interleaved rounds. Medians count. Each measures itself (getrusage, /proc/self/status).

There are two sources, because they answer different questions:

* **A replay** of recorded real events from memory over TLS (`replay.py`). Both get the same events in the encoding that
  they request (client-go: protobuf). It shows the events per second that a reader processes when it is behind, and its
  CPU per event. It measures only the reader, long enough for regular collections of Go's garbage collector. These
  figures have a target.
* **A real API server**: memory and first sync, and CPU per event at a rate of at most some hundred events a second. At
  that rate most of the CPU is for wake-ups (network, TLS record, event loop) and not for the event. It depends on other
  processes (API server, etcd and the loader use the same cores), so only the ratio to the other reader has a target.

Memory is the RSS some seconds after the sync, as `kubectl top` shows it. Neither runtime collects or returns memory
first, because users do not do that either.
"""
