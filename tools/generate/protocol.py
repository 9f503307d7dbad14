"""The generated Python modules of ``schemas/proto`` and the table of reason codes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from moorage.protocol.reasons import ReasonCode

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "schemas" / "proto"
PROTO = "moorage/pinning/v1/pinning.proto"
TARGETS = {
    PROTO: "runtime/moorage/protocol/_generated",
    "moorage/kube/v1/kubernetes.proto": "runtime/moorage/kube/wire/_generated",
}
"""Each .proto file and the sub-package that its module goes to."""


def modules() -> dict[str, str]:
    """What protoc (of grpcio-tools) makes of the .proto files, moved into their packages: path to text.

    Raises:
        RuntimeError: protoc refuses a file; it has printed why.
    """
    return {path: text for proto, target in TARGETS.items() for path, text in _module(proto, target).items()}


def _module(proto: str, target: str) -> dict[str, str]:
    import grpc_tools  # type: ignore[import-untyped]  # not at the top: every other generator works without it
    from grpc_tools import protoc

    wellknown = Path(grpc_tools.__file__).with_name("_proto")
    with tempfile.TemporaryDirectory(prefix="moorage-protoc-") as folder:
        code = protoc.main(
            ["protoc", f"-I{SOURCES}", f"-I{wellknown}", f"--python_out={folder}", f"--pyi_out={folder}", proto]
        )
        if code != 0:
            raise RuntimeError(f"protoc refuses {SOURCES / proto}: see above")
        made = Path(folder, proto).parent
        texts = {path.name: path.read_text() for path in made.iterdir() if path.suffix in (".py", ".pyi")}
    # protoc names the module after the .proto file's folder; ours is a sub-package that shows nothing to others.
    module = f"{Path(proto).stem}_pb2"
    named = f"{Path(proto).parent}/{module}".replace("/", ".")
    wanted = f"{target.removeprefix('runtime/')}/{module}".replace("/", ".")
    files = {name: text.replace(named, wanted) for name, text in texts.items()}
    # What --strict wants of a stub, and protoc leaves out.
    files[f"{module}.pyi"] = files[f"{module}.pyi"].replace("_Mapping]", "_Mapping[str, object]]")
    files["__init__.py"] = '"""Generated from schemas/proto by `./taskw generate`; do not edit."""\n'
    return {f"{target}/{name}": text for name, text in files.items()}


def reasons() -> str:
    """The table of reason codes: what each says, when it is given, and what to do about it."""
    rows = [f"| {code.number} | `{code.name}` | {code.sentence} | {code.when} | {code.advice} |" for code in ReasonCode]
    table = "\n".join(["| number | code | sentence | when | what to do |", "|---|---|---|---|---|", *rows])
    return (
        "Every acknowledgement carries one of these codes; its name begins with `REASON_CODE_`. The sentence beside it "
        f"adds the particulars (which pod, which quantity, how much is free).\n\n{table}\n"
    )
