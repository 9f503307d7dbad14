"""Settings: their sources, and the error for a wrong one."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import socket
from pathlib import Path

import pytest

from moorage.ops import keys, logs, parsing, pod
from moorage.ops.configuration import SettingsError, add_flags, load, settings_of
from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.ops.settings import EvictorSettings, PinnerSettings
from moorage.pinner.stream.settings import StreamSettings
from moorage.planner.settings import PlannerSettings

BASE = {"MOORAGE_PLANNER_ADDRESS": "planner.castai-agent:9443"}


def pinner(**variables: str) -> PinnerSettings:
    return load(PinnerSettings, {**BASE, **variables})


def refusal(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        pinner(**variables)
    return str(caught.value)


def test_the_environment_alone_is_enough() -> None:
    found = pinner(
        MOORAGE_NAMESPACE="moorage",
        MOORAGE_POD_NAME="castai-pod-pinner-1",
        MOORAGE_DRY_RUN="true",
        MOORAGE_STREAM_SILENCE="1m30s",
        MOORAGE_PROVIDER_PROFILE="gcp",
        MOORAGE_HEALTH_ADDRESS=":9090",
    )
    assert found.planner_address == Address("planner.castai-agent", 9443)
    assert (found.namespace, found.pod_name, found.profile) == ("moorage", "castai-pod-pinner-1", "gcp")
    assert found.dry_run
    assert found.stream_silence == 90.0
    assert found.health_address == Address("", 9090)
    assert found.api_key is None


def test_a_flag_wins_over_a_variable_and_a_blank_variable_counts_as_not_set() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, PinnerSettings)
    flags = vars(parser.parse_args(["--namespace", "from-flag", "--dry-run"]))
    found = load(PinnerSettings, {**BASE, "MOORAGE_NAMESPACE": "from-variable", "MOORAGE_LEASE_NAME": ""}, flags)
    assert found.namespace == "from-flag"
    assert found.dry_run
    assert found.lease_name == "castai-pod-pinner-leader-election"
    off = vars(parser.parse_args(["--dry-run=false"]))
    assert not load(PinnerSettings, {**BASE, "MOORAGE_DRY_RUN": "true"}, off).dry_run


def test_a_missing_setting_is_named_with_variable_flag_and_meaning() -> None:
    with pytest.raises(SettingsError) as caught:
        load(PinnerSettings, {})
    assert str(caught.value) == (
        "MOORAGE_PLANNER_ADDRESS (--planner-address) is not set. "
        "It says where the planner serves instructions, as host:port"
    )


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("MOORAGE_PLANNER_ADDRESS", "planner", "write host and port"),
        ("MOORAGE_PLANNER_ADDRESS", "https://planner:1", "without a scheme"),
        ("MOORAGE_PLANNER_ADDRESS", "planner:70000", "0 to 65535"),
        ("MOORAGE_PLANNER_ADDRESS", "planner:0", "write host and port"),
        ("MOORAGE_PLANNER_ADDRESS", ":9443", "write host and port"),
        ("MOORAGE_PLANNER_ADDRESS", "::1:9443", "brackets"),
        ("MOORAGE_PLANNER_ADDRESS", "[nonsense]:9443", "not an IPv6 address"),
        ("MOORAGE_PLANNER_ADDRESS", "a b:9443", "no host name"),
        ("MOORAGE_PLANNER_ADDRESS", "a..b:9443", "no host name"),
        ("MOORAGE_PLANNER_ADDRESS", f"{'a' * 64}:9443", "no host name"),
        ("MOORAGE_PLANNER_ADDRESS", "ä:9443", "no host name"),
        ("MOORAGE_WEBHOOK_URL", "https://a..b/mutate", "https://HOST:PORT/mutate"),
        ("MOORAGE_WEBHOOK_URL", "https://[::1/mutate", "https://HOST:PORT/mutate"),
        ("MOORAGE_WEBHOOK_URL", "https://h:port/mutate", "https://HOST:PORT/mutate"),
        ("MOORAGE_PLANNER_ADDRESS", "planner:٣", "write host and port"),
        ("MOORAGE_NAMESPACE", "Castai", "small letters"),
        ("MOORAGE_POD_NAME", "x" * 254, "small letters"),
        ("MOORAGE_DRY_RUN", "perhaps", "true or false"),
        ("MOORAGE_STREAM_SILENCE", "10", "with its unit"),
        ("MOORAGE_STREAM_SILENCE", "-5s", "with its unit"),
        ("MOORAGE_STREAM_SILENCE", "0s", "longer than 0"),
        ("MOORAGE_STREAM_SILENCE", "25h", "at most 24h"),
        ("MOORAGE_PROVIDER_PROFILE", "ibm", "generic, aws, gcp, azure"),
        ("MOORAGE_API_KEY_FILE", "/nowhere/key", "cannot be read"),
        ("MOORAGE_PLANNER_CA_FILE", "/dev/null", "no certificate"),
        ("MOORAGE_LOG_LEVEL", "loud", "debug, info"),
    ],
)
def test_a_wrong_value_is_named_with_its_problem(variable: str, value: str, words: str) -> None:
    said = refusal(**{variable: value})
    assert said.startswith(f"{variable} (--")
    assert words in said
    assert value[:100] in said


def test_an_absurdly_long_value_does_not_flood_the_message() -> None:
    assert len(refusal(MOORAGE_NAMESPACE="x" * 100_000)) < 300


def test_the_pods_name_is_the_hosts_unless_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "castai-pod-pinner-7d9c")
    assert pinner().pod_name == "castai-pod-pinner-7d9c"


@pytest.mark.parametrize("address", ["127.0.0.1:9443", "[::1]:9443", "localhost:9443", "127.8.9.1:1"])
def test_plaintext_is_for_loopback(address: str) -> None:
    assert pinner(MOORAGE_PLANNER_ADDRESS=address, MOORAGE_PLANNER_PLAINTEXT="true").planner_plaintext


@pytest.mark.parametrize("address", ["10.0.0.1:9443", "localhost.evil.example:9443", "127.0.0.1.nip.example:9443"])
def test_plaintext_to_elsewhere_is_refused(address: str) -> None:
    assert address in refusal(MOORAGE_PLANNER_ADDRESS=address, MOORAGE_PLANNER_PLAINTEXT="true")


def test_contradictions_are_refused(tmp_path: Path) -> None:
    key, ca = tmp_path / "key", tmp_path / "ca.pem"
    key.write_text("sesame-1234\n")
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    assert "both set" in refusal(MOORAGE_API_KEY="other", MOORAGE_API_KEY_FILE=str(key))
    said = refusal(
        MOORAGE_PLANNER_ADDRESS="127.0.0.1:1", MOORAGE_PLANNER_PLAINTEXT="true", MOORAGE_PLANNER_CA_FILE=str(ca)
    )
    assert "contradicts" in said


def test_a_rotated_key_file_is_read_again_and_every_key_is_hidden(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for value in ("sesame-1234", "sesame-5678"):
        file.write_text(value + "\n")
        assert keys.read(file, None) == Secret(value)
        assert "sesame" not in logs.TextFormatter(colours=False).format(logging.makeLogRecord({"msg": value}))
    file.unlink()
    with pytest.raises(SettingsError, match="there is no such file"):
        keys.read(file, None)
    assert keys.read(file, None, Secret("other-key")) == Secret("other-key")
    assert keys.read(None, Secret("our-key"), Secret("other-key")) == Secret("our-key")
    assert keys.read(None, None, Secret("other-key")) == Secret("other-key")
    assert keys.read(None, None) is None


# --- in a pod ---


@pytest.fixture
def pod_environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    token = tmp_path / "token"
    token.write_text("t")
    monkeypatch.setattr(pod, "TOKEN", token)
    return {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


def test_a_pod_needs_no_settings_and_its_files_may_come_later(pod_environ: dict[str, str]) -> None:
    files = {"MOORAGE_API_KEY_FILE": "/nowhere/key", "MOORAGE_PLANNER_CA_FILE": "/nowhere/ca.crt"}
    found = load(PinnerSettings, {**pod_environ, **files, "MOORAGE_NAMESPACE": "moorings"})
    assert found.in_cluster
    assert str(found.planner_address) == "moorage-planner.moorings.svc:9443"
    assert (found.api_key_file, found.planner_ca_file) == (Path("/nowhere/key"), Path("/nowhere/ca.crt"))
    with pytest.raises(SettingsError, match="it holds no key"):
        load(PinnerSettings, {**pod_environ, "MOORAGE_API_KEY": "two\nlines"})


def test_outside_of_a_pod_the_same_is_an_error(pod_environ: dict[str, str]) -> None:
    pod.TOKEN.unlink()
    with pytest.raises(SettingsError, match="MOORAGE_PLANNER_ADDRESS"):
        load(PinnerSettings, pod_environ)


def test_the_closed_products_names_count_where_ours_are_not_set() -> None:
    closed = {"API_GRPC_URL": "grpc.cast.ai:443", "API_KEY": "sesame-1234", "CLUSTER_ID": "c-1"}
    found = load(PinnerSettings, closed)
    assert str(found.planner_address) == "grpc.cast.ai:443"
    assert (found.other_api_key, found.cluster_id) == (Secret("sesame-1234"), "c-1")
    ours = load(PinnerSettings, {**closed, **BASE, "MOORAGE_CLUSTER_ID": "c-2"})
    assert (str(ours.planner_address), ours.cluster_id) == ("planner.castai-agent:9443", "c-2")
    with pytest.raises(SettingsError, match=r"^API_GRPC_URL: 'https://a': write host and port without a scheme"):
        load(PinnerSettings, {"API_GRPC_URL": "https://a"})


@pytest.mark.parametrize("allowed", [True, False])
def test_the_closed_products_key_stays_in_the_namespace_unless_told_otherwise(allowed: bool) -> None:
    environ = {**BASE, "MOORAGE_NAMESPACE": "moorings", "MOORAGE_CLOSED_API_KEY": "true"}
    if allowed:
        environ["MOORAGE_ALLOW_CLOSED_KEY"] = "true"
    endpoint = StreamSettings.of(load(PinnerSettings, environ), cluster_id="c").endpoint
    assert endpoint.key_file_is_closed
    assert endpoint.closed_key_stays_in == ("" if allowed else "moorings")


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo", "schlüssel".encode(), b"\x00\x01"])
def test_a_key_that_cannot_be_sent_is_refused_at_the_start_and_not_shown(tmp_path: Path, content: bytes) -> None:
    key = tmp_path / "key"
    key.write_bytes(content)
    said = refusal(MOORAGE_API_KEY_FILE=str(key))
    assert str(key) in said
    assert "two" not in said


def test_no_message_repeats_a_key() -> None:
    said = refusal(MOORAGE_API_KEY="half\nsesame-1234")
    assert "sesame" not in said
    assert "sesame" not in repr(pinner(MOORAGE_API_KEY="sesame-1234"))


def test_a_key_has_no_flag() -> None:
    assert settings_of(PinnerSettings)["api_key"].flag == ""
    parser = argparse.ArgumentParser()
    add_flags(parser, PinnerSettings)
    assert "--api-key " not in parser.format_help()


def test_every_setting_is_documented_and_has_a_variable_of_ours() -> None:
    declared = settings_of(PinnerSettings)
    assert set(declared) == {field.name for field in dataclasses.fields(PinnerSettings)} - {"in_cluster"}
    variables = [each.variable for each in declared.values()]
    assert len(set(variables)) == len(variables)
    assert all(each.startswith("MOORAGE_") or each == "API_KEY" for each in variables)
    assert all(each.meaning[0].isupper() and not each.meaning.endswith(".") for each in declared.values())


def test_durations_add_up() -> None:
    assert parsing.seconds("1h2m3.5s") == 3723.5
    assert parsing.seconds("250ms") == 0.25


def test_addresses_are_written_as_they_are_read() -> None:
    for text in ("planner:9443", "[fd00::1]:9443", "10.0.0.1:1"):
        assert str(parsing.remote_address(text)) == text


@pytest.mark.parametrize("kind", [PinnerSettings, EvictorSettings, PlannerSettings])
def test_from_a_shell_nothing_listens_beyond_this_machine(kind: type[object]) -> None:
    """The charts name every address."""
    listening = {name for name, each in settings_of(kind).items() if each.parse is parsing.listen_address}
    assert "health_address" in listening
    defaults: dict[str, Address | None] = {each.name: each.default for each in dataclasses.fields(kind)}  # type: ignore[arg-type,misc]
    for address in filter(None, map(defaults.get, listening)):
        assert address.is_loopback
