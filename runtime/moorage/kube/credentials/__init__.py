"""Finds the API server and our credentials: a kubeconfig (with exec plugins) or a pod's service account.

The loader of the ``kubernetes`` package (37.0.2) is not used. Importing ``kubernetes.aio.config`` costs 0.54 s and 25
MiB of RSS on top of aiohttp and yaml (measured). It continues without credentials when a plugin fails, has no time
limit, copies the output of plugins into errors and keys into temporary files, and merges several files differently from
kubectl.
"""

from __future__ import annotations

import os
from pathlib import Path

from . import incluster
from .access import Access, Authenticator, CredentialsError, Headers
from .impersonation import acting_as, impersonates

__all__ = ["Access", "Authenticator", "CredentialsError", "Headers", "acting_as", "impersonates", "load"]


def load(kubeconfig: Path | None = None, context: str | None = None) -> Access:
    """Find the API server and our credentials.

    The order is: the named kubeconfig; ``$KUBECONFIG``; the pod's service account, unless a context is named;
    ``~/.kube/config``. Certificates and plugins are checked as far as possible without the network.

    Args:
        kubeconfig: path of a kubeconfig.
        context: a context in it; None for the current one.

    Raises:
        CredentialsError: nothing was found, or it is unusable.
    """
    listed = os.environ.get("KUBECONFIG")
    if kubeconfig is None and not listed and context is None and incluster.available(os.environ):
        return incluster.access(os.environ)
    from . import contexts  # pods need no YAML
    from . import kubeconfig as kubeconfigs

    if kubeconfig is not None:
        return contexts.access(kubeconfigs.read([kubeconfig], must_exist=True), context)
    files = contexts.default_files(listed)
    config = kubeconfigs.read(files, must_exist=False)
    if not config.files:
        tried = ", ".join(map(str, files))
        raise CredentialsError(
            f"no kubeconfig: {tried} not found, and this is not a pod with a service account. "
            "Name one with --kubeconfig or $KUBECONFIG"
        )
    return contexts.access(config, context)
