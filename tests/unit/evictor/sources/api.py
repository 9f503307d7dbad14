"""An API server in memory that serves what the evictor reads, unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from moorage.evictor import kinds
from tests.unit.evictor.build import Json
from tests.unit.evictor.sources.dumps import NAMESPACES, TWO
from tests.unit.pinner.commands.check.api import Api, status

PATHS = {each.kind: each.path() for each in kinds.KINDS}
RULES = kinds.CONFIG_MAPS.path("castai-agent", "castai-evictor-config")
PRICES = kinds.CONFIG_MAPS.path("castai-agent", "castai-evictor-prices")
CONFIG = kinds.EVICTOR_CONFIGS.path(name="evictor-config")


class Cluster(Api):
    """Lists in pages of two objects.

    Attributes:
        special: answers instead of those that objects give, by path.
    """

    def __init__(self, *manifests: Json) -> None:
        super().__init__()
        self.items: dict[str, list[Json]] = {path: [] for path in PATHS.values()}
        self.special: dict[str, Callable[[], web.Response]] = {}
        for index, each in enumerate(manifests or (*NAMESPACES, *TWO)):
            metadata = {**each["metadata"], "resourceVersion": str(index)}
            self.items[PATHS[each["kind"]]].append({**each, "metadata": metadata})

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if request.path in self.special:
            return self.special[request.path]()
        if request.path not in self.items:
            return status(404, f"{request.path} is not served")
        start = int(request.query.get("continue", 0))
        found = self.items[request.path]
        meta: dict[str, Any] = {"resourceVersion": "99"}
        if start + 2 < len(found):
            meta["continue"] = str(start + 2)
        return web.json_response({"kind": "List", "metadata": meta, "items": found[start : start + 2]})
