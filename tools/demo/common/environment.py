"""What programs of a demo get of our environment."""

from __future__ import annotations

import os

from tools.auditlog import KEEP

# What Python and exec plugins of a kubeconfig need; everything else of the user's environment stays out of our own
# cluster's programs (proxies, credentials).
_KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV", "XDG_CACHE_HOME", "MOORAGE_CLUSTERS_DIR", KEEP)


def kept_environment() -> dict[str, str]:
    """What programs on our own cluster get of our environment."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}
