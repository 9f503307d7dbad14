"""Run in a network namespace of its own: a watch, and then a network that swallows everything without a word.

    unshare --net python -m tests.unit.kube.http.lost_network

Prints "found" once the cache has noticed that its peer is gone, and "watching" once it watches again, with the number
of full lists.
"""

from __future__ import annotations

import asyncio
import subprocess

from moorage.kube.http import sockets
from tests.unit.kube.hostile import HostileServer, eventually, following

_FASTER = {"TCP_KEEPIDLE": 1, "TCP_KEEPALIVE": 1, "TCP_KEEPINTVL": 1, "TCP_USER_TIMEOUT": 2000}


def device(*arguments: str) -> None:
    """Change the loopback device of this namespace."""
    subprocess.run([*arguments], check=True, capture_output=True)


async def main() -> None:
    """Lose the network under a watch that has nothing to say."""
    sockets._OPTIONS = tuple((name, _FASTER.get(name, value)) for name, value in sockets._OPTIONS)
    device("ip", "link", "set", "lo", "up")
    server = HostileServer()
    await server.start()
    try:
        server.store.put("a")
        async with following(server) as f:
            await f.watching()
            orphan = server.watches[0]
            device("ip", "link", "set", "lo", "down")
            await eventually(lambda: f.backoff.drawn)
            print("found", flush=True)
            device("ip", "link", "set", "lo", "up")
            server.store.put("b")
            await eventually(lambda: len(server.asked("watch")) > 1)
            await f.caught_up()
            print(f"watching lists={len(server.asked('list'))}", flush=True)
            orphan.reset()  # the server's side was not asked to look for a dead peer
    finally:
        await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
