"""The generated Python modules of ``schemas/proto`` and the table of reason codes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from moorage.protocol.reasons import ReasonCode

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "schemas" / "proto"
PROTO = "moorage/pinning/v1/pinning.proto"
TARGETS = {
    PROTO: "runtime/moorage/protocol/_generated",
    "moorage/kube/v1/kubernetes.proto": "runtime/moorage/kube/wire/_generated",
}
"""Each .proto file, and the sub-package of its module."""


def modules() -> dict[str, str]:
    """The output of protoc (of grpcio-tools), moved into the packages: text by path.

    Raises:
        RuntimeError: protoc refuses a file. It has printed the reason.
    """
    return {path: text for proto, target in TARGETS.items() for path, text in _module(proto, target).items()}


def described(proto: str = PROTO, sources: Path = SOURCES, *, comments: bool = False) -> FileDescriptorSet:
    """The descriptors of a .proto file and of all its imports. The file itself is the last one.

    Args:
        proto: the file, below the folder of sources.
        sources: the folder with the packages.
        comments: whether to include comments.

    Raises:
        RuntimeError: protoc refuses the file. It has printed the reason.
    """
    with tempfile.TemporaryDirectory(prefix="moorage-protoc-") as folder:
        made = Path(folder, "set.binpb")
        wanted = [f"--descriptor_set_out={made}", "--include_imports", *(["--include_source_info"] if comments else [])]
        _protoc(proto, sources, wanted)
        return FileDescriptorSet.FromString(made.read_bytes())


def _protoc(proto: str, sources: Path, wanted: list[str]) -> None:
    import grpc_tools  # type: ignore[import-untyped]  # not at the top: every other generator works without it
    from grpc_tools import protoc

    wellknown = Path(grpc_tools.__file__).with_name("_proto")
    if protoc.main(["protoc", f"-I{sources}", f"-I{wellknown}", *wanted, proto]) != 0:
        raise RuntimeError(f"protoc refuses {sources / proto}: see above")


def _module(proto: str, target: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="moorage-protoc-") as folder:
        _protoc(proto, SOURCES, [f"--python_out={folder}", f"--pyi_out={folder}"])
        made = Path(folder, proto).parent
        texts = {path.name: path.read_text() for path in made.iterdir() if path.suffix in (".py", ".pyi")}
    # protoc names the module after the .proto file's folder. Here it is a private sub-package.
    module = f"{Path(proto).stem}_pb2"
    named = f"{Path(proto).parent}/{module}".replace("/", ".")
    wanted = f"{target.removeprefix('runtime/')}/{module}".replace("/", ".")
    files = {name: text.replace(named, wanted) for name, text in texts.items()}
    # mypy --strict needs these lines, and protoc omits them.
    files[f"{module}.pyi"] = files[f"{module}.pyi"].replace("_Mapping]", "_Mapping[str, object]]")
    files["__init__.py"] = '"""Generated from schemas/proto by `./taskw generate`; do not edit."""\n'
    return {f"{target}/{name}": text for name, text in files.items()}


def reasons() -> str:
    """The table of reason codes: what each means, when it is sent, and what to do."""
    rows = [f"| {code.number} | `{code.name}` | {code.sentence} | {code.when} | {code.advice} |" for code in ReasonCode]
    table = "\n".join(["| number | code | sentence | when | what to do |", "|---|---|---|---|---|", *rows])
    return (
        "Every acknowledgement carries one of these codes; its name begins with `REASON_CODE_`. The sentence beside it "
        f"adds the details (pod, quantity, free room).\n\n{table}\n"
    )
