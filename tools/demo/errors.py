"""What can go wrong in the demo beyond the cluster and the tools."""


class DemoError(Exception):
    """The demo cannot go on; the message says why and where to look."""
