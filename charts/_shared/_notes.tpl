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

{{/* What the user ought to know, a line each; shared by all charts. */}}
{{- define "CHART.commonWarnings" -}}
{{- if eq (include "CHART.closedImage" .) "true" }}
- image.repository {{ .Values.image.repository }} is an image of the closed product: it counts as unset, and so do
  image.tag and image.digest. The pods run {{ include "CHART.image" . }}.
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
