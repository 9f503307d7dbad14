"""The declared protocol is kept: every kind of break is found, additions pass, and a reason is stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.generate import protocol
from tools.proto.__main__ import main
from tools.proto.baseline import Baseline
from tools.proto.breaking import additions, breaks

BEFORE = """\
syntax = "proto3";
package pkg.v1;
service Talk {
  rpc Chat(stream Ask) returns (stream Tell);
  rpc Once(Ask) returns (Tell);
}
message Ask {
  reserved 2, 10 to 20;
  reserved "former";
  string name = 1;
  int32 count = 3;
  optional bool loud = 4;
  repeated Tell several = 5;
  oneof way {
    string left = 6;
    string right = 7;
  }
  map<string, string> labels = 8;
  Kind kind = 9;
  message Inner { string deep = 1; }
}
message Tell { string text = 1; }
enum Kind {
  reserved 7;
  reserved "KIND_FORMER";
  KIND_UNSPECIFIED = 0;
  KIND_ONE = 1;
  KIND_TWO = 2;
}
"""
BREAKS = {
    "a field is removed": ("  int32 count = 3;\n", "", "Ask.count: removed"),
    "a field is removed and reserved": ("  int32 count = 3;", '  reserved 3; reserved "count";', "Ask.count: removed"),
    "a field has another number": ("count = 3", "count = 30", "Ask.count: has number 30, had 3"),
    "a field has another name": ("count = 3", "number = 3", "Ask.count: number 3 is number now"),
    "a field has another type": ("int32 count", "int64 count", "Ask.count: is of type int64, was int32"),
    "a field is of another enumeration": (
        "  Kind kind",
        "  Tell kind",
        "Ask.kind: is of type pkg.v1.Tell, was pkg.v1.Kind",
    ),
    "a map has other values": (
        "map<string, string>",
        "map<string, int32>",
        "Ask.LabelsEntry.value: is of type int32, was string",
    ),
    "a number is used for something else": (
        "int32 count = 3",
        "string other = 3",
        ["Ask.count: number 3 is other now", "Ask.count: is of type string, was int32"],
    ),
    "one becomes several": ("string name", "repeated string name", "Ask.name: is repeated, was single"),
    "several become one": ("repeated Tell", "Tell", "Ask.several: is single, was repeated"),
    "presence is gone": ("optional bool", "bool", "Ask.loud: is single, was optional"),
    "presence is new": ("string name", "optional string name", "Ask.name: is optional, was single"),
    "a field has another name in JSON": (
        "count = 3",
        'count = 3 [json_name = "n"]',
        "Ask.count: is n in JSON, was count",
    ),
    "a field leaves its oneof": (
        "    string right = 7;\n  }",
        "  }\n  string right = 7;",
        "Ask.right: is in no oneof, was in oneof way",
    ),
    "a reserved number is used": ("string name = 1;", "string name = 1; string x = 2;", None),
    "a reserved name is used": ("string name = 1;", "string name = 1; string former = 99;", None),
    "a number is not reserved any more": (
        "reserved 2, 10 to 20;",
        "reserved 10 to 20;",
        "Ask: 2 is not reserved any more",
    ),
    "a range is smaller": ("10 to 20", "10 to 19", "Ask: 10 to 20 is not reserved any more"),
    "a name is not reserved any more": ('  reserved "former";\n', "", "Ask: the name former is not reserved any more"),
    "a message is removed": (
        "  message Inner { string deep = 1; }\n",
        "",
        "Ask.Inner: removed",
    ),
    "a value is removed": ("  KIND_TWO = 2;\n", "", "Kind.KIND_TWO: removed"),
    "a value has another number": ("KIND_TWO = 2", "KIND_TWO = 3", "Kind.KIND_TWO: has number 3, had 2"),
    "a value has another name": ("KIND_TWO = 2", "KIND_PAIR = 2", "Kind.KIND_TWO: number 2 is KIND_PAIR now"),
    "a value's number is not reserved any more": ("  reserved 7;\n", "", "Kind: 7 is not reserved any more"),
    "a reserved value is used": ("KIND_TWO = 2;", "KIND_TWO = 2; KIND_X = 7;", None),
    "a method is removed": ("  rpc Once(Ask) returns (Tell);\n", "", "Talk.Once: removed"),
    "a method asks something else": (
        "Once(Ask)",
        "Once(Tell)",
        "Talk.Once: the request is pkg.v1.Tell, was pkg.v1.Ask",
    ),
    "a method streams no more": (
        "returns (stream Tell)",
        "returns (Tell)",
        "Talk.Chat: the response is pkg.v1.Tell, was stream pkg.v1.Tell",
    ),
}
_LIFTED = {
    "a reserved number is used": ("reserved 2, 10", "reserved 10", "Ask.x: uses number 2, which is reserved"),
    "a reserved name is used": ('  reserved "former";\n', "", "Ask.former: uses a name that is reserved"),
    "a reserved value is used": ("  reserved 7;\n", "", "Kind.KIND_X: uses number 7, which is reserved"),
}
"""protoc itself refuses reserved names and numbers, so a reuse also removes the reservation."""
ADDITIONS = {
    "a field": ("string name = 1;", "string name = 1; string more = 40;", ["Ask.more"]),
    "a message": ("message Tell", "message More { string x = 1; }\nmessage Tell", ["More", "More.x"]),
    "a value": ("KIND_TWO = 2;", "KIND_TWO = 2; KIND_THREE = 3;", ["Kind.KIND_THREE"]),
    "a method": ("rpc Once", "rpc Twice(Ask) returns (Tell); rpc Once", ["Talk.Twice"]),
    "a way of a oneof": ("string right = 7;", "string right = 7; string up = 41;", ["Ask.up"]),
    "a reservation": ("reserved 2,", "reserved 2, 50 to max,", []),
    "a reservation in two parts": ("10 to 20", "10 to 12, 13 to 20", []),
    "a comment, and another order": ("message Tell { string text = 1; }\n", "", []),
}


def compiled(folder: Path, text: str) -> FileDescriptorSet:
    (folder / "some.proto").write_text(text)
    return protocol.described("some.proto", folder)


@pytest.mark.parametrize("which", BREAKS)
def test_every_kind_of_break_is_found(which: str, tmp_path: Path) -> None:
    was, now, found = BREAKS[which]
    after = BEFORE.replace(was, now, 1)
    if found is None:
        lifted, instead, found = _LIFTED[which]
        after = after.replace(lifted, instead, 1)
    assert after != BEFORE
    wanted = [found] if isinstance(found, str) else found
    said = [str(each) for each in breaks(compiled(tmp_path, BEFORE), compiled(tmp_path, after), "pkg.v1")]
    assert [each.removeprefix("pkg.v1.") for each in said][: len(wanted)] == wanted


@pytest.mark.parametrize("which", ADDITIONS)
def test_additions_break_nothing_and_are_named(which: str, tmp_path: Path) -> None:
    was, now, names = ADDITIONS[which]
    after = BEFORE.replace(was, now, 1)
    assert after != BEFORE
    if not now:
        after += f"// A comment.\n{was}"
    old, new = compiled(tmp_path, BEFORE), compiled(tmp_path, after)
    assert breaks(old, new, "pkg.v1") == []
    assert additions(old, new, "pkg.v1") == [f"pkg.v1.{name}" for name in names]


def test_another_package_has_nothing_of_the_first(tmp_path: Path) -> None:
    old, new = compiled(tmp_path, BEFORE), compiled(tmp_path, BEFORE.replace("package pkg.v1", "package pkg.v2"))
    gone = [str(each) for each in breaks(old, new, "pkg.v1")]
    assert "pkg.v1.Ask: removed" in gone
    assert "pkg.v1.Talk: removed" in gone


# --- the protocol itself ---


@pytest.fixture
def copy(tmp_path: Path) -> Baseline:
    """The protocol and its baseline, where they may be changed."""
    kept = Baseline(tmp_path)
    kept.proto.parent.mkdir(parents=True)
    kept.proto.write_text((protocol.SOURCES / protocol.PROTO).read_text())
    kept.path.write_bytes(Baseline().path.read_bytes())
    return kept


def edit(kept: Baseline, was: str, now: str) -> None:
    text = kept.proto.read_text()
    assert was in text
    kept.proto.write_text(text.replace(was, now, 1))


def test_the_protocol_keeps_what_it_declares(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0, capsys.readouterr().err


def test_a_break_fails_lint_and_is_declared_only_with_a_reason(
    copy: Baseline, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = copy.path.read_bytes()
    edit(copy, "  string replica = 2;", "  bytes replica = 2;")
    assert main(["check"], copy) == 1
    said = capsys.readouterr().err
    assert "moorage.pinning.v1.Hello.replica: is of type bytes, was string" in said
    assert "proto:freeze" in said
    assert main(["freeze"], copy) == 1
    assert "the baseline stays" in capsys.readouterr().err
    assert (copy.path.read_bytes(), copy.log.exists()) == (declared, False)
    assert main(["freeze", "--force", "nobody has\nspoken it yet"], copy) == 0
    assert copy.log.read_text() == (
        "# What was broken, and why\n\n## nobody has spoken it yet\n\n"
        "- moorage.pinning.v1.Hello.replica: is of type bytes, was string\n"
    )
    assert main(["check"], copy) == 0


def test_an_addition_passes_and_is_declared_without_a_reason(
    copy: Baseline, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.freeze()  # what was added since the last release need not be declared before the next
    edit(copy, "  bool probe = 6;", "  bool probe = 6;\n  // More.\n  string more = 7;")
    assert main(["check"], copy) == 0
    assert "1 additions are not declared yet" in capsys.readouterr().out
    assert main(["freeze"], copy) == 0
    assert "new: moorage.pinning.v1.Hello.more" in capsys.readouterr().out
    edit(copy, "  string more = 7;", "  string other = 7;")
    assert main(["check"], copy) == 1, "it was declared"


def test_what_protoc_refuses_and_a_missing_baseline_are_no_success(
    copy: Baseline, capfd: pytest.CaptureFixture[str]
) -> None:
    copy.path.unlink()
    assert main(["check"], copy) == 1
    assert "restore it" in capfd.readouterr().err
    copy.proto.write_text("syntax = ;")
    assert main(["check"], copy) == 1
    assert main(["freeze"], copy) == 1
    assert not copy.path.exists()
