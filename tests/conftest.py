"""Fixtures of all suites, and the figures at the end of a run.

No cluster starts unless a selected test uses the `cluster` fixture.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import secrets
import sys
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests import containers
from tests.auditing import guard
from tests.examples import examples
from tools.toolchain.guard import interrupt_with_parent

if TYPE_CHECKING:  # importing it costs every unit test run a quarter of a second
    from tools.localcluster import ClusterHandle

_TESTS = Path(__file__).parent
_CLUSTER_SUITES = {"kube", "e2e", "faults", "pulumi"}
_WARM, _WARM_REAL = "dev", "real"
_FIRST = "gw0"
_SLOWEST = 10

_seconds: dict[str, float] = defaultdict(float)  # by test, over set-up, call and teardown
_kept_logs: list[Path] = []


# A submission is judged by the same examples each time; who develops meets new ones with every run. Nobody is judged
# by time: a busy machine is no fault of the code.
_timeless = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("ci", _timeless, derandomize=True, database=None)
hypothesis.settings.register_profile("own", _timeless, max_examples=examples(100))
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "own")


def pytest_configure(config: pytest.Config) -> None:
    """Whatever the run does: at its end the audit logs of its clusters are judged."""
    config.pluginmanager.register(guard.Guard(config), guard.NAME)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks everything below the folders whose tests need a control plane."""
    for item in items:
        if item.path.is_relative_to(_TESTS) and item.path.relative_to(_TESTS).parts[0] in _CLUSTER_SUITES:
            item.add_marker(pytest.mark.cluster)
            # Servers are killed here with connections open: a socket that is collected late is shown, not an error.
            item.add_marker(pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"))
        if "real_cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.containers)


def pytest_collection_finish() -> None:
    """Set aside what is there for good, as services do: else each full collection of garbage looks at all of it."""
    gc.collect()
    gc.freeze()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """What cluster tests leave to the collector is collected before the stricter tests begin."""
    if item.get_closest_marker("cluster") and (nextitem is None or not nextitem.get_closest_marker("cluster")):
        gc.collect()


def pytest_sessionstart() -> None:
    """Ends with whoever started us: after kill -9 of the task runner nothing goes on by itself."""
    interrupt_with_parent()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[ClusterHandle]:
    """A running control plane: the warm one named `dev` if it fits, else one for this session."""
    yield from _warm_or_own(request, real=0)


@pytest.fixture(scope="session")
def real_cluster(request: pytest.FixtureRequest) -> Iterator[ClusterHandle]:
    """A control plane with one real node, real-1, whose containers run: the warm one named `real` or another.

    Where root or a Debian package is missing the test is skipped with the reason; in CI it fails.
    """
    containers.require("cluster")
    yield from _warm_or_own(request, real=1)


def _warm_or_own(request: pytest.FixtureRequest, real: int) -> Iterator[ClusterHandle]:
    from tools.localcluster import ClusterError, ClusterOptions, LocalCluster

    warm = _warm_cluster(request.config, real)
    if warm is not None:
        guard.watch(request.config, warm)
        yield warm
        warm.stop_nodes()
        return
    own = LocalCluster(f"test-{os.getpid()}-{secrets.token_hex(3)}", options=ClusterOptions(real=real))
    try:
        own.start()
    except ClusterError as error:
        pytest.fail(f"no local cluster: {error}", pytrace=False)
    try:
        yield own
    finally:
        kept = own.stop(keep_logs=request.session.testsfailed > 0)
        if kept is not None:
            _kept_logs.append(kept)


def _warm_cluster(config: pytest.Config, real: int) -> ClusterHandle | None:
    from tools.localcluster import ClusterError, attach
    from tools.localcluster.binaries import binaries

    name = _WARM_REAL if real else _WARM
    if os.environ.get("PYTEST_XDIST_WORKER", _FIRST) != _FIRST:
        return None  # one process has it to itself, as tests expect of a cluster
    try:
        warm = attach(name)
        tools = {name: str(path) for name, path in binaries(["demo"]).items()}
    except ClusterError:
        return None
    same = warm.tools == tools and warm.has_default_options and warm.real_at_start == real
    if same and warm.is_healthy and (not real or _has_only_real_nodes(warm)):
        return warm
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"cluster {name} has other versions or nodes, or is broken: starting another one")
    return None


def _has_only_real_nodes(warm: ClusterHandle) -> bool:
    nodes = {node["metadata"]["name"] for node in warm.api.get("/api/v1/nodes")["items"]}
    return nodes == set(warm.real_nodes)


@pytest.fixture
def namespace(request: pytest.FixtureRequest, cluster: ClusterHandle) -> Iterator[str]:
    """A namespace named after the test, in which pods can be created; deleted without waiting."""
    name = _unique_name(request)
    body = {"metadata": {"name": name, "labels": {"moorage.test": "true"}}}
    cluster.api.request("POST", "/api/v1/namespaces", body)
    try:
        cluster.wait_service_account(name)
        yield name
    finally:
        cluster.api.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def node_name(request: pytest.FixtureRequest, cluster: ClusterHandle) -> Iterator[Callable[..., str]]:
    """Makes up node names no other test has: `node_name()` or `node_name("b")`.

    Afterwards the hollow kubelets of these names are stopped and their Nodes deleted, and so are Nodes whose names
    begin with one of these (those of `create_kwok_nodes(prefix=…)`).
    """
    names: list[str] = []

    def make(suffix: str = "") -> str:
        names.append(_unique_name(request) + (f"-{suffix}" if suffix else ""))
        return names[-1]

    yield make
    for name in names:
        if name in cluster.hollow_kubelets:
            cluster.kill_hollow_kubelet(name)
    for node in cluster.api.get("/api/v1/nodes")["items"] if names else ():
        if node["metadata"]["name"].startswith(tuple(names)):
            cluster.api.request("DELETE", f"/api/v1/nodes/{node['metadata']['name']}")


def _unique_name(request: pytest.FixtureRequest) -> str:
    readable = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    return f"{readable[:40].strip('-')}-{secrets.token_hex(3)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Names the logs of the clusters that a failed test used."""
    report = yield
    module = sys.modules.get("tools.localcluster")
    if report.failed and module is not None:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, module.ClusterHandle):
                text = f"logs {value.logs}\naudit log {value.audit_log}"
                report.sections.append((f"local cluster of fixture {name}", text))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Adds up the time of each test."""
    _seconds[report.nodeid] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker process (pytest-xdist) sends its figures to the main process."""
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["kept_logs"] = [str(path) for path in _kept_logs]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Receive the figures of a worker."""
    _kept_logs.extend(Path(path) for path in getattr(node, "workeroutput", {}).get("kept_logs", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints minutes per suite, the slowest tests, and where logs were kept."""
    suites: dict[str, list[float]] = defaultdict(list)
    for nodeid, seconds in _seconds.items():
        suites[_suite(nodeid)].append(seconds)
    if suites:
        figures = (f"{name} {sum(took) / 60:.1f} ({len(took)} tests)" for name, took in sorted(suites.items()))
        terminalreporter.section("durations")
        terminalreporter.write_line(f"minutes per suite: {', '.join(figures)}")
        terminalreporter.write_line(f"slowest {_SLOWEST}:")
        for nodeid, seconds in sorted(_seconds.items(), key=lambda item: -item[1])[:_SLOWEST]:
            terminalreporter.write_line(f"{seconds:8.2f} s  {nodeid}")
    for kept in _kept_logs:
        terminalreporter.write_line(f"logs of this session's cluster are kept in {kept}")


def _suite(nodeid: str) -> str:
    with contextlib.suppress(ValueError):
        return Path(nodeid.partition("::")[0]).relative_to(_TESTS.name).parts[0]
    return "others"
