"""From audit logs and readings of /proc to the verdict of `bench:idle`."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from tools.bench.idle import figures, requests
from tools.bench.idle.figures import Server, Use

USE = Use(60, cpu_s=0.12, rss_mib=100, end_mib=90, start_mib=120, requests=Counter({"update leases": 60}))
SERVER = Server(without_m=70, with_m=77.5, etcd_without_m=20, etcd_with_m=21)


def line(verb: str, resource: str, pod: str, subresource: str = "") -> bytes:
    extra = {"authentication.kubernetes.io/pod-name": [pod]} if pod else {}
    event = {
        "stage": "ResponseComplete",
        "verb": verb,
        "stageTimestamp": "2026-01-01T00:00:00.000000Z",
        "user": {"username": "system:serviceaccount:castai-agent:castai-pod-pinner", "extra": extra},
        "objectRef": {"resource": resource, "subresource": subresource},
        "responseStatus": {"code": 200},
    }
    return json.dumps(event).encode() + b"\n"


def test_requests_are_counted_by_the_pod_whose_token_was_used() -> None:
    lines = [line("list", "pods", "a"), line("update", "leases", "b"), line("patch", "pods", "b", "status")]
    lines += [line("list", "pods", "stranger"), line("list", "pods", ""), line("watch", "nodes", "a")]
    found = requests.by_pod(lines, ["a", "b", "c"])
    assert found == {
        "a": Counter({"list pods": 1, "watch nodes": 1}),
        "b": Counter({"update leases": 1, "patch pods/status": 1}),
        "c": Counter(),
    }
    assert requests.writes(found) == ["patch pods/status"]
    assert requests.writes({"a": found["a"]}) == []


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (USE, []),
        (replace(USE, cpu_s=0.13), ["100 nodes, pinner: CPU, milli-cores"]),
        (replace(USE, rss_mib=100.1), ["100 nodes, pinner: RSS, highest, MiB"]),
        (replace(USE, start_mib=500), []),
        (replace(USE, requests=Counter({"get pods": 61})), ["100 nodes, pinner: requests a second"]),
        (replace(USE, requests=Counter({"list pods": 1})), ["100 nodes, pinner: lists of pods"]),
    ],
)
def test_what_is_missed_is_marked(use: Use, words: list[str]) -> None:
    found = [figures.size(100, 300, {"pinner": use}, SERVER, 0.1)]
    assert figures.missed(found) == words
    assert figures.markdown(found).count("(missed)") == len(words)


def test_the_figures_of_a_size() -> None:
    found = figures.size(1000, 3000, {"pinner": USE}, SERVER, 0.123)
    assert found["api_server"]["more_m"] == 7.5
    assert found["programs"]["pinner"]["requests_per_minute"] == {"update leases": 60}
    assert found["programs"]["pinner"]["cpu_m"] == 2
    assert figures.markdown([found]).splitlines()[-1] == "| 1,000 | API server | 7.5 more (70 without us) |  |  |  |"
