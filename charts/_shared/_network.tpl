{{/* Parts of the NetworkPolicies. */}}

{{/* Probes come from the node itself, which every network plugin lets through; these rules are for who reads metrics. */}}
{{- define "CHART.metricsIngress" -}}
- ports: [{port: {{ include "CHART.healthPort" . }}, protocol: TCP}]
  {{- with .Values.networkPolicy.metricsFrom }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/*
Names, and the API server: at any address, because which it is differs from cluster to cluster. A policy sees the port of the
pod that answers, not of its Service: OpenShift's DNS pods listen at 5353.
*/}}
{{- define "CHART.commonEgress" -}}
- ports:
    {{- range list 53 5353 }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - {port: {{ int . }}, protocol: TCP}
    {{- else }}
    - {protocol: TCP}
    {{- end }}
{{- end -}}

{{/* A warning when the API server of the cluster is at a port that the policy does not let through. */}}
{{- define "CHART.networkWarnings" -}}
{{- $allowed := list -}}
{{- range .Values.networkPolicy.apiServerPorts }}{{ $allowed = append $allowed (int .) }}{{ end -}}
{{- range (lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes").ports -}}
{{- if and $.Values.networkPolicy.enabled $allowed (not (has (int .port) $allowed)) }}
- The API server is at port {{ int .port }}, and networkPolicy.apiServerPorts does not name it: where network policies are enforced, the
  pods cannot reach it. Set networkPolicy.apiServerPorts={{ "{" }}{{ int .port }}{{ "}" }}.
{{- end }}
{{- end -}}
{{- end -}}
