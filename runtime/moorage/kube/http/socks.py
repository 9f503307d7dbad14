"""Connects through a SOCKS5 proxy (RFC 1928). The proxy resolves the server's name, as with Go's net/http."""

from __future__ import annotations

import asyncio
import socket

SCHEMES = ("socks5", "socks5h")
MAX_LOGIN = 255
"""Characters of a user and of a password (RFC 1929). python-socks takes ASCII only."""


async def connect(proxy: tuple[str, int], login: tuple[str, str], server: tuple[str, int]) -> socket.socket:
    """Open a connection to a server.

    Args:
        proxy: host and port.
        login: user and password; both empty for none.
        server: host and port.

    Raises:
        OSError: the proxy cannot be reached, refuses us, or cannot reach the server.
    """
    from python_socks import ProxyConnectionError, ProxyError, ProxyType  # most clusters have no such proxy
    from python_socks.async_.asyncio import Proxy

    user, password = login
    loop = asyncio.get_running_loop()
    through = Proxy(ProxyType.SOCKS5, *proxy, user or None, password or None, rdns=True, loop=loop)
    try:
        return await through.connect(*server)
    except ProxyConnectionError as error:
        raise error.__cause__ or error from None  # the system's error: its own text repeats the address
    except ProxyError as error:
        hint = "" if user else ". Give user and password in the proxy's URL, if it wants them"
        raise OSError(f"{error}{hint if error.error_code is None else ''}") from error
    except ValueError as error:  # of python-socks
        fits = all(part.isascii() and len(part) <= MAX_LOGIN for part in login)
        what = (
            "its answer is not valid SOCKS" if fits else f"user and password may have {MAX_LOGIN} ASCII characters each"
        )
        raise OSError(what) from error
