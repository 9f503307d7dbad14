{{/* Parts of NOTES. */}}

{{/* Keys that a user has given and that do nothing, as a list. */}}
{{- define "CHART.withoutEffect" -}}
{{- $given := list -}}
{{- range $path := without (.Files.Get "files/without-effect.yaml" | fromYamlArray) "enabled" -}}
{{- $value := $.Values -}}
{{- $found := true -}}
{{- range $part := splitList "." $path -}}
{{- $found = and $found (kindIs "map" $value) (hasKey $value $part) -}}
{{- if $found }}{{ $value = get $value $part }}{{ end -}}
{{- end -}}
{{- if $found }}{{ $given = append $given $path }}{{ end -}}
{{- end -}}
{{- toYaml $given -}}
{{- end -}}

{{/*
When nothing runs: that, why, and the command that changes it. `replicas` alone decides then, so that an earlier
replicaCount or deploy does not contradict it.
*/}}
{{- define "CHART.nothingRuns" -}}
{{- if eq (include "CHART.replicas" .) "0" }}

NOTHING RUNS: {{ include "CHART.zeroKeys" . }}. Nobody scales it up later: this release does nothing until you say how many
replicas it has:

  {{ include "CHART.upgradeWith" . }} {{ include "CHART.setReplicas" . }}
{{- end }}
{{- end -}}

{{/* What the user ought to know, a line each; shared by all charts. */}}
{{- define "CHART.commonWarnings" -}}
{{- if eq (include "CHART.closedImage" .) "true" }}
- image.repository {{ .Values.image.repository }} is an image of the closed product: it counts as unset, and so do
  image.tag and image.digest. The pods run {{ include "CHART.image" . }}.
{{- end }}
{{- if eq (include "CHART.closedTag" .) "true" }}
- image.tag {{ .Values.image.tag }} is a tag of the closed product (ours have no v): it counts as unset. The pods run
  {{ include "CHART.image" . }}. A tag of your own counts beside an image.repository of your own.
{{- end }}
{{- if eq (include "CHART.closedRegistry" .) "true" }}
- global.registry {{ .Values.global.registry }} is the closed product's: it counts as unset. The pods run
  {{ include "CHART.image" . }}.
{{- end }}
{{- include "CHART.networkWarnings" . }}
{{- with include "CHART.withoutEffect" . | fromYamlArray }}
- Accepted, without effect: {{ join ", " . }}.
{{- end }}
{{- range $key, $kind := dict "serviceMonitor" "ServiceMonitor" "prometheusRule" "PrometheusRule" }}
{{- if and (get $.Values $key).enabled (ne (include "CHART.monitors" (dict "root" $ "key" $key "kind" $kind)) "true") }}
- {{ $key }}.enabled: the cluster does not know monitoring.coreos.com/v1 {{ $kind }}, so there is none
  ({{ $key }}.renderMode {{ (get $.Values $key).renderMode }}).
{{- end }}
{{- end }}
{{- end -}}

{{/*
The command that changes one value, up to its name. In a release of a chart around this one it names that chart, and the
value below this one's name: the release upgraded to this chart alone would lose everything else.
*/}}
{{- define "CHART.upgrade" -}}
{{- include "CHART.upgradeWith" . }} {{ include "CHART.below" . }}
{{- end -}}

{{- define "CHART.upgradeWith" -}}
{{- $chart := first (splitList "/" .Template.BasePath) -}}
{{- $known := has $chart (list "CHART" "moorage") -}}
helm upgrade {{ .Release.Name }} {{ ternary "moorage" "REPOSITORY" $known }}/{{ $chart }} -n {{ .Release.Namespace }} --reset-then-reuse-values --set
{{- end -}}

{{/* What a value's name begins with in the values of the release: nothing, or the charts in which it is, each by its alias. */}}
{{- define "CHART.below" -}}
{{- range .Template.BasePath | trimSuffix "/templates" | splitList "/charts/" | rest }}{{ . }}.{{ end -}}
{{- end -}}
