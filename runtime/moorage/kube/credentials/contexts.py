"""Resolves one context of a kubeconfig."""

from __future__ import annotations

import base64
import logging
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from moorage.ops.parsing import host_name

from . import proxies
from .access import Access, Authenticator, CredentialsError, Headers, server_url
from .exec import ExecAuthenticator
from .files import Material, WatchedFile, content
from .kubeconfig import Cluster, Entry, ExecConfig, Merged, User, inline
from .plugin import API_VERSIONS, INTERACTIVE_MODES, Plugin
from .static import StaticAuthenticator
from .tls import TlsContexts

logger = logging.getLogger(__name__)

EXEC_EXTENSION = "client.authentication.k8s.io/exec"


def access(config: Merged, context: str | None) -> Access:
    """Resolve a context.

    Args:
        config: the merged files.
        context: its name; None for the current one.

    Raises:
        CredentialsError: the context, its cluster or its user is missing or unusable.
    """
    files = ", ".join(map(str, config.files)) or "(none found)"
    name = context or config.current_context
    entry = config.contexts.get(name)
    if entry is None:
        known = ", ".join(sorted(config.contexts)) or "none"
        what = f"there is no context {name!r}" if name else "current-context is not set"
        raise CredentialsError(f"kubeconfig {files}: {what}. Name one with --context; it knows: {known}")
    source = f"kubeconfig {entry.file}, context {name!r}"
    wanted = entry.value.cluster or ""
    cluster = config.clusters.get(wanted)
    if cluster is None:
        raise CredentialsError(
            f"{source}: there is no cluster {wanted!r} in {files}. Correct contexts[].context.cluster"
        )
    user = config.users.get(entry.value.user or "")
    if user is None:
        raise CredentialsError(
            f"{source}: there is no user {entry.value.user or ''!r} in {files}. Correct contexts[].context.user"
        )
    server = _server(cluster.value, source)
    proxy = cluster.value.proxy_url
    return Access(
        server=server,
        namespace=entry.value.namespace or None,
        authenticator=_authenticator(server, cluster, user, source),
        proxy=proxies.check(proxy, f"{source}: cluster.proxy-url")
        if proxy
        else proxies.from_environment(server, os.environ),
        source=source,
        tls_server_name=_tls_server_name(cluster.value, source),
    )


def _server(cluster: Cluster, source: str) -> str:
    try:
        return server_url(cluster.server or "")
    except ValueError:
        raise CredentialsError(f"{source}: cluster.server: not a server's URL. Write it as https://host:port") from None


def _tls_server_name(cluster: Cluster, source: str) -> str | None:
    try:
        return host_name(cluster.tls_server_name) if cluster.tls_server_name else None
    except ValueError:
        raise CredentialsError(
            f"{source}: cluster.tls-server-name: not a host name. Write a name of the server's certificate"
        ) from None


def _authenticator(server: str, cluster: Entry[Cluster], user: Entry[User], source: str) -> Authenticator:
    if not server.startswith("https:"):
        # As in kubectl, credentials are never sent unencrypted.
        logger.warning("plain HTTP to the API server, no credentials are sent", extra={"source": source})
        return StaticAuthenticator(source, None)
    ca = _material(
        cluster,
        cluster.value.certificate_authority_data,
        cluster.value.certificate_authority,
        source,
        "cluster.certificate-authority",
    )
    verify = not cluster.value.insecure_skip_tls_verify
    if not verify and ca is not None:
        raise CredentialsError(
            f"{source}: cluster: insecure-skip-tls-verify contradicts certificate-authority. Remove one of them"
        )
    tls = TlsContexts(source, ca, verify=verify)
    token, certificate = _token(user, source), _certificate(user, source)
    headers = _impersonation(user.value, source)
    _refuse_obsolete(user.value, source)
    if user.value.exec is not None and token is None and certificate is None:  # kubectl: inline data wins
        plugin = _plugin(user, user.value.exec, _cluster_info(server, cluster.value, ca), source)
        return ExecAuthenticator(plugin, tls, headers=headers)
    return StaticAuthenticator(source, tls, token=token, certificate=certificate, headers=headers)


def _refuse_obsolete(user: User, source: str) -> None:
    if user.username or user.password:
        raise CredentialsError(
            f"{source}: user.username and user.password: Kubernetes dropped basic authentication in 1.19. "
            "Use a token, a client certificate or an exec plugin"
        )
    if user.auth_provider is not None:
        raise CredentialsError(
            f"{source}: user.auth-provider: kubectl dropped built-in providers in 1.26. Use the provider's exec plugin"
        )


def _material(
    entry: Entry[Cluster] | Entry[User], data: str | None, file: str | None, source: str, field: str
) -> Material | None:
    """Inline data or a file; inline data wins, as in kubectl."""
    if data:
        return inline(data, f"{source}: {field}-data")
    if file:
        watched = WatchedFile(entry.path(file), f"{source}: {field}")
        watched.read()  # report a wrong path now, not at the first request
        return watched
    return None


def _token(user: Entry[User], source: str) -> Material | None:
    if user.value.token_file:  # wins over token, which kubectl only uses until it has read the file
        return _material(user, None, user.value.token_file, source, "user.tokenFile")
    return user.value.token.encode() if user.value.token else None


def _certificate(user: Entry[User], source: str) -> tuple[Material, Material] | None:
    value = user.value
    certificate = _material(
        user, value.client_certificate_data, value.client_certificate, source, "user.client-certificate"
    )
    key = _material(user, value.client_key_data, value.client_key, source, "user.client-key")
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "client-key" if key is None else "client-certificate"
        raise CredentialsError(f"{source}: user.{missing} is missing. A client certificate needs both it and its key")
    return certificate, key


def _impersonation(user: User, source: str) -> Headers:
    """The headers of ``as`` and its fields (client-go transport/round_trippers.go): one for each group and value."""
    groups = [group for group in user.impersonate_groups or () if group]
    extra = user.impersonate_extra or {}
    if not user.impersonate:
        if user.impersonate_uid or groups or extra:
            raise CredentialsError(
                f"{source}: user.as is missing. Impersonating a uid, group or extra needs a user, too"
            )
        return {}
    headers = {
        "Impersonate-User": [user.impersonate],
        "Impersonate-Uid": [user.impersonate_uid] if user.impersonate_uid else [],
        "Impersonate-Group": groups,
    }
    for key, values in extra.items():
        headers[f"Impersonate-Extra-{quote(key, safe='')}"] = [value for value in values or () if value]
    if not all(value.isprintable() for values in headers.values() for value in values):
        raise CredentialsError(f"{source}: user.as and its fields: with characters that no header takes. Remove them")
    return {name: values[0] if len(values) == 1 else tuple(values) for name, values in headers.items() if values}


def _plugin(user: Entry[User], config: ExecConfig, cluster: dict[str, Any], source: str) -> Plugin:
    if not config.command:
        raise CredentialsError(f"{source}: user.exec.command is missing. Name the credential plugin")
    if config.api_version not in API_VERSIONS:
        raise CredentialsError(f"{source}: user.exec.apiVersion: unknown. Use one of {', '.join(API_VERSIONS)}")
    mode = config.interactive_mode or ("IfAvailable" if config.api_version.endswith("v1beta1") else "")
    if mode not in INTERACTIVE_MODES:
        raise CredentialsError(f"{source}: user.exec.interactiveMode: use one of {', '.join(INTERACTIVE_MODES)}")
    command = str(user.path(config.command)) if "/" in config.command else config.command
    return Plugin(
        source=source,
        command=command,
        api_version=config.api_version,
        args=tuple(config.args or ()),
        env={variable.name: variable.value or "" for variable in config.env or ()},
        interactive_mode=mode,
        install_hint="".join(c for c in config.install_hint or "" if c.isprintable() or c == "\n"),
        cluster=cluster if config.provide_cluster_info else None,
    )


def _cluster_info(server: str, cluster: Cluster, ca: Material | None) -> dict[str, Any]:
    """``spec.cluster`` of an ExecCredential (client-go pkg/apis/clientauthentication/v1/types.go)."""
    settings = [e.extension for e in cluster.extensions or () if e.name == EXEC_EXTENSION]
    info = {
        "server": server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": None if ca is None else base64.b64encode(content(ca)).decode(),
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
        "config": settings[0] if settings else None,
    }
    return {key: value for key, value in info.items() if value}


def default_files(environ_value: str | None) -> list[Path]:
    """The files $KUBECONFIG lists, else ``~/.kube/config``."""
    if environ_value:
        return [Path(part) for part in environ_value.split(os.pathsep) if part]
    return [Path.home() / ".kube" / "config"]
