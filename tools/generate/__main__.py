"""``python -m tools.generate [--check]``: tables of generators. Each is a function that returns text."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tools.bench.pin import picture as bench_picture
from tools.demo import picture, replay
from tools.demo.evictor import picture as evictor_picture
from tools.demo.evictor import report_picture
from tools.demo.rebalance import picture as rebalance_picture
from tools.generate import (
    bundle,
    charts,
    objects,
    plan,
    protocol,
    protocol_page,
    pulumi,
    reference,
    report,
    terraform,
    values,
)

ROOT = Path(__file__).resolve().parents[2]

GENERATED: dict[str, Callable[[], str]] = {
    "docs/images/bench-pin.svg": lambda: bench_picture.drawn(bench_picture.RECORDED.read_text()),
    "docs/images/demo.svg": lambda: picture.svg(replay.RECORDING),
    "docs/images/evictor-demo.svg": lambda: evictor_picture.svg(replay.EVICTORS),
    "docs/images/rebalance-demo.svg": lambda: rebalance_picture.svg(replay.REBALANCES),
    "docs/images/evictor.svg": report_picture.svg,
    "docs/reference/evictor-report.md": report.page,
    "docs/reference/metrics.md": reference.metrics,
    "docs/reference/plan.md": plan.page,
    "docs/reference/protocol.md": protocol_page.page,
    "docs/reference/settings.md": reference.settings,
    "docs/reference/tools.md": reference.tools,
    "runtime/moorage/schemas/evictorconfig.schema.json": lambda: bundle.text(
        bundle.bundled("rules/evictorconfig.schema.json")
    ),
    "runtime/moorage/schemas/plan.schema.json": plan.schema,
    "runtime/moorage/schemas/prices.schema.json": lambda: bundle.text(bundle.bundled("rules/prices.schema.json")),
    "runtime/moorage/schemas/rules.schema.json": lambda: bundle.text(bundle.bundled("rules/rules.schema.json")),
}

# Generators of several files each: functions that return texts by path.
GENERATED_SETS: tuple[Callable[[], dict[str, str]], ...] = (
    protocol.modules,
    values.files,
    charts.files,
    objects.pages,
    pulumi.files,
    terraform.files,
)


def texts() -> Iterator[tuple[str, str]]:
    """The path below the root, and the text, of every generated file.

    Some generators read the package's schemas. These are yielded first, so that the caller has written them by then.
    """
    for name, of_one in GENERATED.items():
        yield name, of_one()
    for generator in GENERATED_SETS:
        yield from sorted(generator().items())


def main(argv: Sequence[str] | None = None) -> int:
    """Write or compare. Returns the exit code: 1 if a file differs from its source."""
    parser = argparse.ArgumentParser(prog="./taskw generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file is not up to date")
    check = parser.parse_args(argv).check
    count = drifted = 0
    for name, wanted in texts():
        count += 1
        path = ROOT / name
        found = path.read_text() if path.exists() else ""
        if found == wanted:
            continue
        drifted += 1
        if check:
            diff = difflib.unified_diff(
                found.splitlines(), wanted.splitlines(), name, f"{name} (generated)", lineterm=""
            )
            print("\n".join(diff))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted)
            print(f"wrote {name}")
    if check and drifted:
        print(f"{drifted} generated file(s) differ from their source; run ./taskw generate and commit", file=sys.stderr)
        return 1
    print(f"{count} generated files are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
