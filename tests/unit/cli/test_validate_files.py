"""`moorage validate values` on files as people keep them: of many tools, with many documents, and of the umbrella."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from moorage.cli import main
from moorage.files import CHARTS, umbrella, values
from moorage.files.holders import Held, as_values
from moorage.files.yamlfile import Document, parse

EVICTOR, PINNER, PLANNER, UMBRELLA = "castai-evictor", "castai-pod-pinner", "moorage-planner", "moorage"
RIGHT, WRONG, UNREADABLE = 0, 1, 2


def said(capsys: pytest.CaptureFixture[str], folder: Path, content: str | bytes, *kind: str) -> tuple[int, str]:
    """The exit code, and all that is written, without the file's name."""
    file = folder / "file.yaml"
    file.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
    code = main(["validate", *(kind or ("values",)), str(file)])
    written = capsys.readouterr()
    return code, (written.out + written.err).replace(f"{file}:", "")


FILES: dict[str, tuple[str | bytes, int, str]] = {
    "several documents of Flux": (
        """\
        apiVersion: source.toolkit.fluxcd.io/v1
        kind: HelmRepository
        ---
        apiVersion: helm.toolkit.fluxcd.io/v2
        kind: HelmRelease
        spec: {chart: {spec: {chart: ingress-nginx}}, values: {controller: {kind: DaemonSet}}}
        ---
        apiVersion: helm.toolkit.fluxcd.io/v2
        kind: HelmRelease
        spec:
          chart: {spec: {chart: castai-evictor}}
          values: {dryRun: false, cycleInterval: 60}
        """,
        WRONG,
        "12:27: spec.values.cycleInterval: 60 does not look like 30s\n",
    ),
    "a key twice in one of several documents": (
        """\
        kind: Namespace
        ---
        apiVersion: helm.toolkit.fluxcd.io/v2
        kind: HelmRelease
        spec:
          values: {dryRun: false, dryRun: true}
        """,
        WRONG,
        "'dryRun' is there twice",
    ),
    "two files in one": ("dryRun: false\n---\nreplicas: 2\n", WRONG, "3:1: another document begins here"),
    "anchors and merged maps": (
        """\
        common: &common {cpu: 100m}
        castai-evictor: {resources: {requests: {<<: *common, memory: 1Gi}}}
        """,
        RIGHT,
        "right, as values of castai-evictor (below castai-evictor)",
    ),
    "a byte order mark and lines of Windows": (
        b"\xef\xbb\xbfdryRun: false\r\ncycleInterval: 1m\r\n",
        RIGHT,
        "values of castai-evictor",
    ),
    "JSON that is indented by tabs": (
        b'{\n\t"dryRun": true,\n\t"cycleInterval": "x"\n}\n',
        WRONG,
        "cycleInterval: 'x' does",
    ),
    "what PowerShell writes": (
        "dryRun: true\n".encode("utf-16"),
        WRONG,
        "is UTF-16, as PowerShell writes it: save it as",
    ),
    "half a character": (r'{"scopedMode": "\ud83d"}', WRONG, "an escape stands for no character"),
    "a number with too many digits": ("scopedMode: 0x" + "f" * 5000, WRONG, "scopedMode: '0xffff"),
    "text that moves the cursor": (r'scopedMode: {"\e[31m\n": 1, "\x9b": 1}', WRONG, "is not true or false"),
    "a text": ("hello", WRONG, "1:1: is not a map; values are a map of keys"),
    "a version": (
        "scopedMode: true\nimage: {tag: 1.10}",
        WRONG,
        'tag: 1.10, which means 1.1, is not a text; write "1.10"',
    ),
    "a hash": ("scopedMode: true\nimage: {tag: 12e45}", WRONG, "12e45, which means 12000000000000"),
    "an answer": ("scopedMode: y\npodAnnotations: {a: no}", WRONG, 'no, which means false, is not a text; write "no"'),
    "values of Flux that are a text": (
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec: {values: 'dryRun: true'}\n",
        WRONG,
        "spec.values: is not a map",
    ),
    "JSON": ('{"scopedMode": "true"}', WRONG, "1:2: scopedMode: 'true' is not true or false"),
    "what helm get values writes": ("USER-SUPPLIED VALUES:\nscopedMode: 1\n", WRONG, "2:1: scopedMode: 1 is not true"),
    "what helm get values writes of none": ("USER-SUPPLIED VALUES:\nnull\n", RIGHT, "right, as values\n"),
    "what helm get values --all writes": (
        b"\xef\xbb\xbfCOMPUTED VALUES: \r\nscopedMode: true\r\n",
        RIGHT,
        "values of castai-evictor",
    ),
    "kustomize": (
        """\
        kind: Kustomization
        helmCharts:
        - {name: other, valuesInline: {replicas: many}}
        - {name: castai-pod-pinner, valuesInline: {replicas: many}, valuesFile: x.yaml}
        """,
        WRONG,
        "helmCharts[1].valuesInline.replicas: 'many' is not a whole number",
    ),
    "a generator of kustomize": (
        "kind: HelmChartInflationGenerator\nname: castai-evictor\nvaluesInline: {dryrun: true}\n",
        WRONG,
        "valuesInline.dryrun: unknown field 'dryrun'; did you mean dryRun?",
    ),
    "Helmfile": (
        """\
        releases:
        - {name: x, chart: stable/x, values: [{dryRun: maybe}]}
        - name: evictor
          chart: moorage/castai-evictor
          values: [{dryRun: false}, more.yaml]
          set: [{name: targetUtilization, value: ninety}]
        """,
        WRONG,
        "releases[1].set.targetUtilization: 'ninety' is not a whole number",
    ),
    "a Helmfile for others": (
        "releases: [{name: x, chart: a/b, values: [{c: d}]}]",
        UNREADABLE,
        "is a Helmfile, and has no",
    ),
    "Rancher": (
        """\
        apiVersion: helm.cattle.io/v1
        kind: HelmChart
        spec:
          chart: oci://example.com/charts/castai-evictor:2.0.0
          valuesContent: |
            dryRun: false
            cycleIntervall: 1m
        """,
        WRONG,
        "spec.valuesContent: in line 2 of the text: cycleIntervall: unknown field 'cycleIntervall'; did you mean",
    ),
    "Rancher's configuration of a chart": (
        "apiVersion: helm.cattle.io/v1\nkind: HelmChartConfig\nmetadata: {name: castai-evictor}\n"
        "spec: {valuesContent: 'dryRun: false'}\n",
        RIGHT,
        "right, as values of castai-evictor, in a HelmChartConfig of Rancher",
    ),
    "Fleet": (
        "helm: {chart: castai-evictor, values: {dryRun: 1}}",
        WRONG,
        "helm.values.dryRun: 1 is not true or false",
    ),
    "parameters of Argo CD": (
        """\
        apiVersion: argoproj.io/v1alpha1
        kind: Application
        spec:
          source:
            chart: castai-pod-pinner
            helm:
              parameters:
              - {name: replicas, value: "2"}
              - {name: castai.grpcUrl, value: "a:1"}
        """,
        WRONG,
        "9:9: spec.source.helm.parameters.castai.grpcUrl: unknown field 'grpcUrl'; did you mean grpcURL?",
    ),
    "an ApplicationSet of Argo CD with the umbrella": (
        """\
        apiVersion: argoproj.io/v1alpha1
        kind: ApplicationSet
        spec: {template: {spec: {sources: [{chart: moorage, helm: {valuesObject: {castai-evictr: {}}}}]}}}
        """,
        WRONG,
        "valuesObject.castai-evictr: unknown field 'castai-evictr'; did you mean castai-evictor?",
    ),
    "Pulumi": (
        """\
        runtime: yaml
        resources:
          evictor:
            type: kubernetes:helm.sh/v3:Release
            properties: {chart: castai-evictor, values: {softTainting: true}}
        """,
        WRONG,
        "properties.values.softTainting: true is not a map; write enabled: true below it",
    ),
    "Terraform": (
        'resource "helm_release" "x" {\n  set {\n    name = "dryRun"\n    value = "false"\n  }\n}\n',
        UNREADABLE,
        "is in Terraform's language, not YAML: terraform validate",
    ),
    "a block of Terraform": ('set {\n  name = "a"\n  value = "0"\n}\n', UNREADABLE, "is in Terraform's language"),
    "Terraform's list": (
        "set: [{name: cycleInterval, value: 1m}, {name: scopedMode, value: 'yes'}]",
        WRONG,
        "set.scopedMode: 'yes' is not true or false",
    ),
    "variables of Terraform": ("# ours\n\nreplicas = 2\ndry_run  = true\n", UNREADABLE, "is in Terraform's language"),
    "parameters with lists and dots in names": (
        """\
        apiVersion: argoproj.io/v1alpha1
        kind: Application
        spec:
          source:
            chart: castai-pod-pinner
            helm:
              parameters:
              - {name: 'imagePullSecrets[0].name', value: registry}
              - {name: 'nodeSelector.kubernetes\\.io/os', value: linux}
              - {name: 'tolerations[0].operator', value: Exists}
        """,
        RIGHT,
        "values of castai-pod-pinner",
    ),
    "a parameter that is no text": (
        "set: [{name: 'podAnnotations.a\\.b/c', value: 'true'}, {name: castai.grpcURL, value: 'a:1'}]",
        WRONG,
        'podAnnotations["a.b/c"]: true is not a text; forceString of Argo CD, type of Terraform or',
    ),
    "a parameter that nests without end": (
        f"set: [{{name: 'scopedMode{'[999]' * 5000}', value: a}}, {{name: '{'a.' * 5000}', value: a}}]",
        UNREADABLE,
        "its keys do not show which chart they are for",
    ),
    "what kubectl shows of several releases of Flux": (
        """\
        apiVersion: v1
        kind: List
        items:
        - kind: Namespace
        - apiVersion: helm.toolkit.fluxcd.io/v2
          kind: HelmRelease
          spec: {chartRef: {kind: OCIRepository, name: castai-evictor}, values: {replicas: many}}
        """,
        WRONG,
        "7:74: items[1].spec.values.replicas: 'many' is not a whole number",
    ),
    "values that Flux takes from a ConfigMap": (
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  values.yaml: |\n    scopedMode: maybe\n",
        WRONG,
        "in line 1 of the text: scopedMode: 'maybe' is not true or false",
    ),
    "another object": (
        "apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: 2}\n",
        UNREADABLE,
        "has no values for a chart of Moorage in it: it holds a Deployment of Kubernetes",
    ),
    "a wrapper chart with keys that are called like ours": (
        "castai-evictor: {dryRun: maybe}\ningress: {enabled: true}\nwebhook: {enabled: true}\nplan: pro\n",
        WRONG,
        "1:18: castai-evictor.dryRun: 'maybe' is not true or false",
    ),
    "what is for all parts of a wrapper chart": (
        "global: {imagePullSecrets: x, ours: 1}\ncastai-evictor: {dryRun: true}\n",
        WRONG,
        "1:10: global.imagePullSecrets: 'x' is not a list",
    ),
    "a kind that is no text": ("kind: [List]\napiVersion: [v1]\nscopedMode: true\n", WRONG, "unknown field 'kind'"),
    "values beside the name of their part": (
        "castai-evictor: {dryRun: true}\naggressiveMode: true\n",
        RIGHT,
        "2:1: aggressiveMode: is not checked; values of castai-evictor stand below castai-evictor (not a mistake)",
    ),
    "a template": ("dryRun: {{ .Values.dry }}\n", UNREADABLE, "is a template"),
    "a path with dots": (
        "castai.apiKeySecretRef: x\nplanner.address: a:1\ndestinations: {mode: hard}\nwebhook: {enabled: true}\n",
        WRONG,
        "a dot nests only in --set: write apiKeySecretRef below castai",
    ),
    "a key one level too deep": ("webhook: {replicas: 1, url: ''}", WRONG, "replicas belongs at the top level"),
    "the API's name of what has no effect": (
        "cleanupKarpenterNodes: true\nscopedMode: true\n",
        WRONG,
        "it means karpenterNodeCleanup, which has no effect here: leave it out",
    ),
    "a wrapper chart with a typing error": (
        "castai-evictr: {dryRun: false}\ncastai-pod-pinner: {enabled: true}\n",
        RIGHT,
        "castai-evictr: is not checked; did you mean castai-evictor? (not a mistake)",
    ),
    "an old file of the closed evictor": (
        """\
        rbac: {enabled: true, volumes: {enabled: true}}
        KarpenterMode: {enabled: false}
        kubernetesClient: {rateLimiter: {qps: 100, burst: 200}}
        customConfig: |
          evictionConfig:
          - podSelector: {kind: Job}
            settings: {removable: {enabled: false}}
        """,
        WRONG,
        "customConfig: in line 3 of the text: evictionConfig[0].settings.removable: unknown field 'removable'",
    ),
}


@pytest.mark.parametrize(("content", "code", "words"), FILES.values(), ids=FILES)
def test_files_as_people_have_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | bytes, code: int, words: str
) -> None:
    found = said(capsys, tmp_path, content)
    assert words in found[1]
    assert found[0] == code


def test_rules_beside_other_objects(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"
    rules = "kind: ConfigMap\ndata:\n  config.yaml: |\n    evictionConfig: [{podSelector: {kind: Job}, settings: {}}]\n"
    code, found = said(capsys, tmp_path, f"{namespace}---\n{rules}---\nkind: ConfigMap\ndata: {{a: b}}\n", "rules")
    assert code == WRONG
    assert 'data["config.yaml"]: in line 1 of the text: evictionConfig[0].settings: is empty' in found
    code, found = said(capsys, tmp_path, f"{namespace}---\n{namespace}", "rules")
    assert (code, "another document begins here" in found) == (WRONG, True)


def test_a_plan_that_is_a_template_is_called_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, found = said(capsys, tmp_path, "nodes:\n- name: {{ .name }}\n", "plan")
    assert (code, "is a template" in found) == (UNREADABLE, True)


def test_a_letter_is_a_text_in_rules_and_an_answer_to_kubectl(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rules = "[{podSelector: {labelSelector: {matchLabels: {a: y}}}, settings: {aggressive: {enabled: true}}}]"
    assert said(capsys, tmp_path, rules, "rules") == (RIGHT, " right, as rules\n")
    code, found = said(capsys, tmp_path, f"kind: EvictorConfig\nspec: {{evictionRules: {rules}}}\n", "rules")
    assert (code, "matchLabels.a: y, which means true, is not a text" in found) == (WRONG, True)


RULES = [{"podSelector": {"kind": "Job"}, "settings": {"aggressive": {"enabled": True}}}]
OF_OTHERS = {"kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "x"}}
CONFIG_MAP = {"kind": "ConfigMap", "data": {"config.yaml": json.dumps({"evictionConfig": RULES})}}
RESOURCE = {"apiVersion": "autoscaling.cast.ai/v1alpha1", "kind": "EvictorConfig", "spec": {"evictionRules": RULES}}


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ({"kind": "List", "items": [OF_OTHERS, CONFIG_MAP]}, RIGHT, " right, as rules\n"),
        ({"kind": "List", "items": [OF_OTHERS]}, WRONG, "items[0].data: config.yaml is missing"),
        ({"kind": "List", "items": None}, RIGHT, " right, as rules\n"),
        (
            {"kind": "List", "items": [RESOURCE]},
            RIGHT,
            "items[0].metadata: only the resource of the name evictor-config",
        ),
        (
            {"apiVersion": RESOURCE["apiVersion"], "kind": "EvictorConfigList", "items": [{"spec": RESOURCE["spec"]}]},
            RIGHT,
            " right, as rules\n",
        ),
        (
            {**CONFIG_MAP, "data": {"config.yaml": {}}},
            WRONG,
            "is not a text; write config.yaml: | and the rules below it",
        ),
        ({**RESOURCE, "spec": {"evictionConfig": RULES}}, WRONG, "did you mean spec.evictionRules?"),
        (
            {**RESOURCE, "kind": "evictorconfig"},
            WRONG,
            "kind: 'evictorconfig' holds no rules; they stand in an EvictorConf",
        ),
        ({"apiVersion": "v1", "spec": RESOURCE["spec"]}, WRONG, "1:1: kind: is missing, and with it the rules"),
        ({"evictionConfig": [None]}, WRONG, "evictionConfig[0]: nothing is not a map"),
    ],
)
def test_objects_as_a_cluster_has_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: object, code: int, words: str
) -> None:
    found = said(capsys, tmp_path, json.dumps(content), "rules")
    assert words in found[1]
    assert found[0] == code


def test_a_document_without_kind_beside_objects_is_not_passed_over(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = f"{json.dumps(CONFIG_MAP)}\n---\n{json.dumps(RULES)}\n---\n{json.dumps(OF_OTHERS)}\n"
    code, found = said(capsys, tmp_path, text, "rules")
    assert (code, found) == (WRONG, "3:1: is no object of Kubernetes: put it into a file of its own\n")


# --- the umbrella ---


def test_the_umbrella_is_recognised_by_its_parts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = "global: {labels: {a: b}}\ncastai-evictor: {enabled: true, dryRun: false}\ncastai-pod-pinner: {}\n"
    assert said(capsys, tmp_path, text) == (RIGHT, " right, as values of moorage\n")
    code, found = said(capsys, tmp_path, "castai-evictor: {dryRun: false}\n")
    assert (code, found) == (RIGHT, " right, as values of castai-evictor (below castai-evictor)\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dryRun: false", "1:1: dryRun: is a value of a part: write castai-pod-pinner.dryRun or castai-evictor.dryRun"),
        ("plan: {}", "write moorage-planner.plan"),
        ("nonsense: 1", "unknown field 'nonsense'; chart moorage has global, tags"),
        ("castai-evictor: false", "castai-evictor: is not a map"),
        ("castai-evictor: {enabled: null}", "castai-evictor.enabled: is not true or false"),
        ("tags: null", "1:1: tags: is not a map"),
        ("tags: {autoscaler: 'true'}", "1:8: tags.autoscaler: is not true or false"),
        ("castai-evictor: {enabled: 'no'}", "castai-evictor.enabled: 'no' is not true or false"),
        ("castai-evictor: {cycleInterval: often}", "1:18: castai-evictor.cycleInterval: 'often' does not look like"),
        ("global: {imagePullSecrets: x}", "global.imagePullSecrets: 'x' is not a list"),
        ("moorage-planner: {plan: {plan: a, nodes: [{}]}}", "moorage-planner.plan.nodes[0]: name is missing"),
        ("[]", "is not a map; values are a map of keys"),
    ],
)
def test_mistakes_in_the_umbrellas_values(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, words: str
) -> None:
    code, found = said(capsys, tmp_path, text, "values", "--chart", UMBRELLA)
    assert code == WRONG
    assert words in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("castai-pod-pinner: {replicaCount: 0}", "castai-pod-pinner.replicaCount: 0 means that NOTHING RUNS"),
        ("global: {castai: {}, spotHandler: 1}", "global.spotHandler: no part of Moorage makes use of it"),
        ("".join(f"{part}: {{enabled: false}}\n" for part in CHARTS), "NOTHING is installed"),
    ],
)
def test_what_is_right_and_does_nothing_is_noted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, words: str
) -> None:
    code, found = said(capsys, tmp_path, text, "values", "--chart", UMBRELLA)
    assert code == RIGHT
    assert words in found


def test_the_charts_own_values_are_right(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    chart = (Path(__file__).parents[3] / "charts" / UMBRELLA / "values.yaml").read_text()
    assert said(capsys, tmp_path, chart) == (RIGHT, " right, as values of moorage\n")


@pytest.mark.parametrize("part", CHARTS)
def test_every_key_of_a_part_at_the_top_is_sent_to_that_part(part: str) -> None:
    for key in values.schema_of(part)["properties"]:
        if key not in umbrella.KEYS:
            (found,) = umbrella.mistakes(Document({key: None}, {}))
            assert f"{part}.{key}" in found.sentence or "did you mean" in found.sentence


def test_a_list_of_names_is_read_as_helm_reads_it() -> None:
    text = b"""\
    p:
    - {name: a.b, value: "1"}
    - {name: a.c, value: "01"}
    - {name: d, value: "true", forceString: true}
    - {name: e, value: "null"}
    - {value: lost}
    - {name: a.b.deep, value: x}
    """
    assert as_values(parse("f", text), Held(("p",), None, is_list=True)).value == {
        "a": {"b": {"deep": "x"}, "c": "01"},
        "d": "true",
        "e": None,
    }


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (
            'resource "castai_evictor_advanced_config" "x" {\n  cluster_id = "x"\n}\n',
            UNREADABLE,
            "in Terraform's language",
        ),
        ("evictionConfig:\n{{- range .Values.rules }}\n  - {{ .x }}\n{{- end }}\n", UNREADABLE, "is a template"),
        ("customConfig: {evictionConfig: []}", UNREADABLE, "moorage validate values checks both"),
        ("- {podSelector: {namespace: 'it-*'}, settings: {aggressive: true}}", WRONG, "in full, not as a pattern"),
    ],
)
def test_rules_as_people_have_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, code: int, words: str
) -> None:
    found = said(capsys, tmp_path, text, "rules")
    assert words in found[1]
    assert found[0] == code
