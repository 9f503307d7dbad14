"""Looks at files of values, rules and plans for ``moorage validate``."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from moorage.files import CHARTS, UMBRELLA, holders, languages, rules, umbrella, values
from moorage.files.mistakes import FileMistakes, Mistake, Path, dotted
from moorage.files.yamlfile import Document, parse, parse_each

from .reading import Unreadable, read

PLANNER = "moorage-planner"
MISTAKES = 1
UNREADABLE = 2
_QUOTED = re.compile(r'; write "[^"]*" in quotes\Z')
_AS_TEXT = "; forceString of Argo CD, type of Terraform or setString of Helmfile keeps it a text"
"""For values of ``--set``, to which quotes mean nothing."""


@dataclass
class Report:
    """What was found in one file."""

    file: str
    chart: str | None = None
    mistakes: list[Mistake] = field(default_factory=list)
    notes: list[Mistake] = field(default_factory=list)
    code: int = 0


class _Unusable(Exception):
    """A file that was not checked; the message says why."""


def run(arguments: argparse.Namespace) -> int:
    """Look at each file, and print what is wrong.

    Returns:
        The exit code.
    """
    checks: dict[str, Callable[[Report, bytes], None]] = {
        "values": partial(_values, chart=arguments.chart),
        "rules": _rules,
        "plan": _plan,
    }
    reports = []
    for name in arguments.files:
        report = Report("<stdin>" if name == "-" else name)
        reports.append(report)
        _look(report, name, checks[arguments.kind])
        if arguments.output == "text":
            _print(report, arguments.kind)
    if arguments.output == "json":
        print(json.dumps([_as_json(report, arguments.kind) for report in reports], indent=2, ensure_ascii=False))
    return max(report.code for report in reports)


def _look(report: Report, name: str, check: Callable[[Report, bytes], None]) -> None:
    try:
        check(report, read(name))
    except (Unreadable, _Unusable) as error:
        report.code = UNREADABLE
        print(f"moorage validate: {report.file}: {error}", file=sys.stderr)
        return
    except FileMistakes as error:
        report.mistakes = error.mistakes
    report.mistakes.sort(key=lambda mistake: (mistake.line, mistake.column))
    report.code = MISTAKES if report.mistakes else 0


def _values(report: Report, data: bytes, *, chart: str | None) -> None:
    data = values.without_header(data)
    parsed = _parsed(report, data, values.MAX_BYTES)
    held = [(found, each, wrong) for each, wrong in parsed if (found := holders.holder(each)) is not None]
    if not held:
        _refuse_objects(parsed)
        document = parse(report.file, data, max_bytes=values.MAX_BYTES, merge=True, letters=True)
        report.chart = _values_at(report, chart, document, ()) or None
        return
    report.mistakes += [each for _, _, wrong in held for each in wrong]
    if not report.mistakes:
        report.chart = _values_of_tools(report, chart, [(found, document) for found, document, _ in held])


def _refuse_objects(parsed: list[tuple[Document, list[Mistake]]]) -> None:
    """Objects of Kubernetes, of which no document holds values."""
    for each, _ in parsed:
        of, kind = (each.value.get(key) if isinstance(each.value, Mapping) else None for key in ("apiVersion", "kind"))
        if isinstance(of, str) and isinstance(kind, str):
            raise _Unusable(f"has no values for a chart of Moorage in it: it holds a {kind} of Kubernetes")


def _parsed(report: Report, data: bytes, max_bytes: int) -> list[tuple[Document, list[Mistake]]]:
    """The documents of a file, unless it is in a language that only looks like YAML."""
    try:
        parsed = parse_each(report.file, data, max_bytes=max_bytes, letters=True)
        broken = any(isinstance(each.value, str) or wrong for each, wrong in parsed)
    except FileMistakes:
        if why := languages.other(data):
            raise _Unusable(why) from None
        raise
    if broken and (why := languages.other(data)):
        raise _Unusable(why)
    return parsed


def _values_of_tools(report: Report, chart: str | None, found: list[tuple[holders.Holder, Document]]) -> str:
    """Check values in files of other tools. Returns the charts, and whose files they are."""
    if not any(tool.held or tool.unseen for tool, _ in found):
        raise _Unusable(f"is {found[0][0].kind}, and has no values for a chart of Moorage in it")
    said, others = [], []
    for tool, document in found:
        charts: dict[str, None] = {}
        for each in tool.held:
            try:
                charts[_values_held(report, chart, document, each)] = None
            except _Unusable as error:  # another chart's, unless there is nothing else
                others.append(error)
        said += [f"{', '.join(filter(None, charts)) or 'no chart'}, in {tool.kind}"] if charts else []
        report.notes += [document.mistake(path, f"{_last(path)}: is not checked") for path in tool.unseen]
    if others and not said:
        raise others[0]
    return "; ".join(dict.fromkeys(said)) or f"no chart, in {found[0][0].kind}"


def _last(path: Path) -> str:
    return next((each for each in reversed(path) if isinstance(each, str)), "")


def _values_held(report: Report, chart: str | None, document: Document, held: holders.Held) -> str:
    """Check values in a file of another tool. Returns the chart that they are for."""
    chart = chart or held.chart
    if held.is_list:
        told = _values_at(report, chart, holders.as_values(document, held), held.path)
        report.mistakes = [each._replace(sentence=_QUOTED.sub(_AS_TEXT, each.sentence)) for each in report.mistakes]
        return told
    below = document.below(*held.path)
    if not held.is_text:
        return _values_at(report, chart, below, held.path)
    key = str(held.path[-1])
    inner = Report(report.file)
    said = chart or "a chart"
    try:
        said = _values_at(inner, chart, _of_text(key, below.value), ())
    except FileMistakes as error:
        inner.mistakes = error.mistakes
    for found, listed in ((inner.mistakes, report.mistakes), (inner.notes, report.notes)):
        listed += [
            document.mistake(held.path, f"{key}: in line {each.line} of the text: {each.full_sentence}")
            for each in found
        ]
    return said


def _of_text(key: str, text: str) -> Document:
    return parse(key, text.encode(), max_bytes=values.MAX_BYTES, merge=True, letters=True)


def _values_at(report: Report, chart: str | None, document: Document, at: Path) -> str:
    """Check the values at a place of the file, of one chart or of one around it. Returns the chart."""
    if chart == UMBRELLA or (chart is None and umbrella.recognises(document)):
        _values_of_umbrella(report, document, at)
        return UMBRELLA
    if document.value in (None, {}):
        return chart or ""  # it sets nothing, in whatever chart
    if chart is None and not isinstance(document.value, Mapping):
        report.mistakes.append(document.mistake((), values.NO_MAP)._replace(path=at))
        return ""
    parts = values.parts(document)
    around = any(len(path) == 1 for path in parts)  # whose other keys may be called like ours
    if (known := chart or (None if around else values.guess(document))) is not None:
        _values_of(report, known, document, at)
        _say_where_dependencies_are(report, parts, at)
        return known
    if not parts:
        raise _Unusable(f"its keys do not show which chart they are for; add --chart {'|'.join((*CHARTS, UMBRELLA))}")
    shared = values.mistakes_in_global(document, parts.values())
    report.mistakes += [each._replace(path=(*at, *each.path)) for each in shared]
    for path, each in parts.items():
        _values_of(report, each, document.below(*path), (*at, *path))
        report.notes = list(umbrella.without_switch(report.notes, (*at, *path)))
    report.notes += [*_like_parts(document, parts, at), *_beside_parts(document, parts, at)]
    for name in {path[0] for path in parts if len(path) > 1 and not report.mistakes}:
        sentence = (
            f"{name}: nests as the closed umbrella does; moorage convert values makes values of the chart moorage of it"
        )
        report.notes.append(document.mistake((name,), sentence)._replace(path=(*at, name)))
    return ", ".join(f"{each} (below {dotted((*at, *path))})" for path, each in parts.items())


def _like_parts(document: Document, parts: Mapping[Path, str], at: Path) -> Iterable[Mistake]:
    """Keys of a chart around ours that look like a part's name, and hold values that nobody reads then."""
    names = [path[0] for path in parts if len(path) == 1]
    for key in document.value if names else ():
        near = umbrella.part_like(key) if key not in names else None
        if near is not None:
            yield document.mistake((key,), f"{key}: is not checked; did you mean {near}?")._replace(path=(*at, key))


def _beside_parts(document: Document, parts: Mapping[Path, str], at: Path) -> Iterable[Mistake]:
    """Values of a part that stand beside its name instead of below it."""
    part = values.guess(document)
    if (part,) not in parts or part is None:
        return
    for key in document.value.keys() & values.schema_of(part)["properties"].keys() - {umbrella.GLOBAL}:
        if umbrella.part_like(key) is not None:
            continue
        sentence = f"{key}: is not checked; values of {part} stand below {part}"
        yield document.mistake((key,), sentence)._replace(path=(*at, key))


def _values_of_umbrella(report: Report, document: Document, at: Path) -> None:
    """Check the values of the chart that has ours as its parts."""
    found = umbrella.mistakes(document)
    report.mistakes += [each._replace(path=(*at, *each.path)) for each in found]
    if found or not document.value:
        return
    report.notes += [each._replace(path=(*at, *each.path)) for each in umbrella.notes(document)]
    if document.value.get(PLANNER):
        _plan_in(report, document.below(PLANNER), (*at, PLANNER))


def _values_of(report: Report, chart: str, document: Document, at: Path) -> None:
    """Check the values of one chart, which are at this path of the file."""

    def placed(found: Iterable[Mistake]) -> list[Mistake]:
        return [each._replace(path=(*at, *each.path)) for each in found]

    mistakes = placed(values.mistakes(chart, document))
    report.mistakes += mistakes
    if mistakes:
        return
    report.notes += placed(values.notes(chart, document))
    if chart == PLANNER:
        _plan_in(report, document, at)


def _plan_in(report: Report, document: Document, at: Path) -> None:
    """Check the plan in a planner's values."""
    if not isinstance(document.value, Mapping) or not document.value.get("plan"):
        return
    from moorage.planner import planfile

    try:
        planfile.of_document("plan", document.below("plan"), digest="")
    except FileMistakes as error:
        report.mistakes += [each._replace(path=(*at, "plan", *each.path)) for each in error.mistakes]


def _say_where_dependencies_are(report: Report, parts: Mapping[Path, str], at: Path) -> None:
    """With --chart: values below a chart's name belong to a chart that depends on it."""
    for path, chart in parts.items():
        for index, each in enumerate(report.mistakes):
            if each.path == (*at, path[0]):
                sentence = (
                    f"belongs to a chart that has {chart} as a dependency. Without --chart, the values below "
                    f"{dotted((*at, *path))} are checked. For this chart alone, write them without {dotted(path)}"
                )
                report.mistakes[index] = each._replace(sentence=f"{path[0]}: {sentence}")


def _rules(report: Report, data: bytes) -> None:
    several = _parsed(report, data, rules.MAX_BYTES)
    about = [each for each in several if rules.are_in(each[0])]
    if len(several) > 1 and about:  # with other objects, as kubectl applies them
        for document, wrong in about:
            found = wrong or rules.mistakes(document)
            report.mistakes += found
            report.notes += [] if found else rules.notes(document)
        report.mistakes += [
            each.mistake((), "is no object of Kubernetes: put it into a file of its own")
            for each, _ in several
            if not (isinstance(each.value, Mapping) and "kind" in each.value)
        ]
        return
    of_kubectl = any(isinstance(each.value, Mapping) and "kind" in each.value for each, _ in several)
    document = parse(report.file, data, max_bytes=rules.MAX_BYTES, merge=True, letters=of_kubectl)
    if isinstance(document.value, Mapping) and "customConfig" in document.value:
        raise _Unusable("holds values, with rules in customConfig: moorage validate values checks both")
    report.mistakes = rules.mistakes(document)
    report.notes = [] if report.mistakes else list(rules.notes(document))


def _plan(report: Report, data: bytes) -> None:
    from moorage.planner import planfile  # only this kind needs the protocol

    try:
        planfile.read(report.file, data)
    except FileMistakes:
        if why := languages.other(data):
            raise _Unusable(why) from None
        raise


def _print(report: Report, kind: str) -> None:
    for mistake in report.mistakes:
        print(mistake.located(report.file))
    if report.code == 0:
        what = f"values of {report.chart}" if report.chart else kind
        print(f"{report.file}: right, as {what}")
    for note in report.notes:
        print(f"{note.located(report.file)} (not a mistake)")


def _as_json(report: Report, kind: str) -> dict[str, Any]:
    return {
        "file": report.file,
        "kind": kind,
        "chart": report.chart,
        "valid": report.code == 0,
        "read": report.code != UNREADABLE,
        "mistakes": [_entry(each) for each in report.mistakes],
        "notes": [_entry(each) for each in report.notes],
    }


def _entry(mistake: Mistake) -> dict[str, Any]:
    return {
        "line": mistake.line,
        "column": mistake.column,
        "path": dotted(mistake.path),
        "message": mistake.full_sentence,
    }
