"""The parts of the watch benchmark that define its figures."""

from __future__ import annotations

import json

from moorage.kube.resources import PODS
from moorage.kube.wire.as_protobuf import ProtobufDecoder
from moorage.objects import Pod
from tests.unit.kube.hostile import protobuf as hostile
from tools.bench.common import world
from tools.bench.common.figures import medians
from tools.bench.watch import figures
from tools.bench.watch.protobuf import Frame, items, next_page, page
from tools.bench.watch.recording import Event
from tools.bench.watch.replay import Story

NAMES = {row.key for row in figures.ROWS}


def reader(**changed: float) -> dict[str, float]:
    return dict.fromkeys(NAMES, 50.0) | changed


def test_a_target_is_missed_by_the_absolute_figure_or_by_the_ratio() -> None:
    assert figures.missed(reader(), reader()) == []
    assert figures.missed(reader(cpu_us_per_event=61), reader()) == ["replay: CPU µs/event"]
    assert figures.missed(reader(rss_mib=51), reader()) == ["RSS at rest, MiB"]
    assert figures.missed(reader(served_cpu_us_per_event=149), reader()) == []
    assert figures.missed(reader(served_cpu_us_per_event=151), reader()) == ["server flat out: CPU µs/event"]


def test_our_figures_have_bare_names_and_the_peers_its_own() -> None:
    found = figures.result({"ours": reader(sync_s=1), "informer": reader(sync_s=2)})
    required = "rss_mib sync_s events_per_s cpu_us_per_event informer_rss_mib informer_cpu_us_per_event"
    assert set(required.split()) <= set(found)
    assert (found["sync_s"], found["informer_sync_s"]) == (1, 2)


def test_medians_are_taken_figure_by_figure() -> None:
    assert medians([{"a": 1, "b": 9}, {"a": 5, "b": 2}, {"a": 3, "b": 4}]) == {"a": 3, "b": 4}


def test_the_story_never_tells_an_object_twice_with_the_same_version_or_time() -> None:
    story = Story()
    for version in (98, 99, 101):
        event = {
            "type": "MODIFIED",
            "object": {"metadata": {"resourceVersion": str(version)}, "status": {"startTime": "2026-01-01T00:00:09Z"}},
        }
        story.events.append(Event.parse(json.dumps(event, separators=(",", ":")).encode() + b"\n"))
    told = [json.loads(line)["object"] for line in story.tell(9, binary=False, initial=False)]
    versions = [int(obj["metadata"]["resourceVersion"]) for obj in told]
    assert versions == sorted(set(versions))
    assert versions[:3] == [98, 99, 101]
    assert [obj["status"]["startTime"][:10] for obj in told[::3]] == ["2026-01-01", "2026-01-02", "2026-01-03"]


def test_in_protobuf_too_every_version_is_told_once() -> None:
    story = Story()
    for version in (98, 99, 101):
        pod = {"metadata": {"name": "a", "resourceVersion": str(version)}, "spec": {"nodeName": "n" * version}}
        story.event_frames.append(hostile.frame("MODIFIED", pod))
    story.cut_frames = [Frame.parse(frame) for frame in story.event_frames]
    assert [frame.told(frame.version) for frame in story.cut_frames] == story.event_frames
    decoder = ProtobufDecoder(PODS, "/api/v1/pods")
    told = [decoder.event(frame[4:])[1] for frame in story.tell(9, binary=True, initial=False)]
    assert all(isinstance(pod, Pod) and len(pod.spec.node_name) in (98, 99, 101) for pod in told)
    versions = [pod.metadata.resource_version for pod in told if isinstance(pod, Pod)]
    assert versions == ["98", "99", "101", "102", "103", "105", "106", "107", "109"]
    assert list(story.tell(4, binary=True, initial=True)) == [*story.event_frames, story.event_frames[0]]


def test_pages_in_protobuf_can_be_cut_and_made() -> None:
    pods = [hostile.pod({"metadata": {"name": name, "resourceVersion": "7"}}) for name in "abc"]
    made = page("Pod", "9", "more", pods)
    meta, found = ProtobufDecoder(PODS, "/api/v1/pods").page(made)
    assert (meta.resource_version, meta.continue_, [pod.key for pod in found]) == ("9", "more", ["a", "b", "c"])
    assert (items(made), next_page(made)) == (pods, "more")
    assert next_page(page("Pod", "9", "", pods)) == ""


def test_a_stored_pod_has_its_own_names_and_times_and_its_siblings_template() -> None:
    template = world.pod(7, 10)
    template["metadata"] |= {"resourceVersion": "5", "uid": "template"}
    template["status"] = {"qosClass": "Burstable"}
    sibling = 7 + world.CONTROLLERS
    stored = world.stored_pod(sibling, 1, 10, template)
    assert stored["metadata"]["name"] == world.pod_name(sibling)
    assert stored["metadata"]["uid"] != "template"
    assert "resourceVersion" not in stored["metadata"]
    assert stored["spec"]["nodeName"] == world.node_name(sibling % 10)
    assert stored["spec"]["containers"] == template["spec"]["containers"]
    assert stored["status"]["qosClass"] == "Burstable"
    assert stored["status"]["phase"] == "Running"
    assert template["metadata"]["resourceVersion"] == "5", "the template itself stays as it was"
