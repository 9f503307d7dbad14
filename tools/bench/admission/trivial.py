"""`python -m tools.bench.admission.trivial FOLDER PORT NODES`: a webhook that gives every pod the next node's name."""

from __future__ import annotations

import base64
import itertools
import json
import ssl
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from tools.bench.pin.scene import node_name

LISTENS = "trivial webhook listens"


def main() -> int:
    """Serve until killed. The folder has the certificate."""
    folder, port, nodes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    names = itertools.cycle([node_name(index) for index in range(nodes)])

    async def mutate(request: web.Request) -> web.Response:
        review = json.loads(await request.read())
        response: dict[str, Any] = {"uid": review["request"]["uid"], "allowed": True}
        pod = review["request"]["object"]
        if not pod["spec"].get("nodeName"):  # the API server calls it again if another webhook has changed the pod
            annotations = {**pod["metadata"].get("annotations", {}), "moorage.dev/bench": "trivial"}
            patch = [
                {"op": "add", "path": "/spec/nodeName", "value": next(names)},
                {"op": "add", "path": "/metadata/annotations", "value": annotations},
            ]
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        return web.json_response({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})

    async def listening(_application: web.Application) -> None:
        sys.stdout.write(json.dumps({"message": LISTENS}) + "\n")
        sys.stdout.flush()

    application = web.Application()
    application.router.add_post("/mutate", mutate)
    application.on_startup.append(listening)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    web.run_app(application, host="127.0.0.1", port=port, ssl_context=context, access_log=None, print=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
