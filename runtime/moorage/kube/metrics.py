"""Metrics of the access layer. Labels are kinds, never names of objects."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

EVENTS = Counter("moorage_watch_events_total", "Watch events applied to the cache.", ["kind", "type"])
LISTS = Counter("moorage_watch_lists_total", "Full lists of a kind, by cause.", ["kind", "cause"])
RECONNECTS = Counter("moorage_watch_reconnects_total", "Watch connections that ended, by cause.", ["kind", "cause"])
UNDECODABLE = Counter("moorage_watch_undecodable_total", "Objects or lines that could not be read.", ["kind"])
UNREADABLE = Gauge("moorage_watch_unreadable_objects", "Objects that cannot be read now.", ["kind"])
OBJECTS = Gauge("moorage_watch_objects", "Objects in the cache.", ["kind"])
SYNCED = Gauge("moorage_watch_synced", "Whether the cache holds a complete list (1) or not yet (0).", ["kind"])
CONTACT_AGE = Gauge("moorage_watch_contact_age_seconds", "Time since the last sign of life of the watch.", ["kind"])
REQUESTS = Counter("moorage_api_requests_total", "Requests to the API server by verb and status.", ["verb", "code"])
