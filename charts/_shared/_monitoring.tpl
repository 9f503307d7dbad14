{{/* Objects of the Prometheus operator and Grafana. */}}

{{/*
"true" when an object of the Prometheus operator is to be rendered.
  root; key: the value's name (serviceMonitor, prometheusRule); kind
*/}}
{{- define "CHART.monitors" -}}
{{- $values := get .root.Values .key -}}
{{- $served := .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) -}}
{{- if not $values.enabled -}}
false
{{- else if or $served (eq $values.renderMode "alwaysRender") -}}
true
{{- else if eq $values.renderMode "failIfMissing" -}}
{{- fail (printf "%s.enabled: this cluster does not serve monitoring.coreos.com/v1 %s: install the Prometheus operator, or set %s.renderMode to skipIfMissing (leave it out) or alwaysRender (for rendering without a cluster)" .key .kind .key) -}}
{{- else -}}
false
{{- end -}}
{{- end -}}

{{- define "CHART.serviceMonitor" -}}
{{- if eq (include "CHART.monitors" (dict "root" . "key" "serviceMonitor" "kind" "ServiceMonitor")) "true" -}}
{{- $namespace := .Values.serviceMonitor.namespace | default .Release.Namespace -}}
{{- $name := include (ternary "CHART.fullname" "CHART.clusterName" (eq $namespace .Release.Namespace)) . -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "CHART.metadata" (dict
    "root" . "name" $name "namespace" $namespace "labels" .Values.serviceMonitor.labels
  ) | nindent 2 }}
spec:
  endpoints:
    - port: {{ include "CHART.metricsPort" . }}
      path: /metrics
      {{- with .Values.serviceMonitor.interval }}
      interval: {{ . }}
      {{- end }}
      {{- with .Values.serviceMonitor.scrapeTimeout }}
      scrapeTimeout: {{ . }}
      {{- end }}
      {{- with .Values.serviceMonitor.relabelings }}
      relabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.serviceMonitor.metricRelabelings }}
      metricRelabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  namespaceSelector:
    matchNames: [{{ .Release.Namespace | quote }}]
  selector:
    matchLabels:
      {{- include "CHART.selectorLabels" . | nindent 6 }}
{{- end -}}
{{- end -}}

{{/* Alerts of files/alerts.yaml; in them OURS stands for the labels of this release's series. */}}
{{- define "CHART.prometheusRule" -}}
{{- if eq (include "CHART.monitors" (dict "root" . "key" "prometheusRule" "kind" "PrometheusRule")) "true" -}}
{{- $ours := printf "namespace=%q,job=%q" .Release.Namespace (include "CHART.fullname" .) -}}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  {{- include "CHART.metadata" (dict
    "root" . "name" (include "CHART.fullname" .) "namespace" .Release.Namespace "labels" .Values.prometheusRule.labels
  ) | nindent 2 }}
spec:
  {{- .Files.Get "files/alerts.yaml" | replace "OURS" $ours | fromYaml | toYaml | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* The label is what Grafana's sidecar looks for. */}}
{{- define "CHART.grafanaDashboard" -}}
{{- if .Values.grafanaDashboard.enabled -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "CHART.metadata" (dict
    "of" "v1 ConfigMap" "root" . "name" (printf "%s-dashboard" (include "CHART.fullname" .)) "namespace" .Release.Namespace
    "labels" (.Values.grafanaDashboard.labels | default (dict "grafana_dashboard" "1"))
    "annotations" .Values.grafanaDashboard.annotations
  ) | nindent 2 }}
data:
  CHART.json: |
    {{- .Files.Get "files/dashboard.json" | nindent 4 }}
{{- end -}}
{{- end -}}
