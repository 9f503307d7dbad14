{{/* Parts of the NetworkPolicies. */}}

{{/* Probes come from the node itself, which every network plugin lets through; these rules are for who reads metrics. */}}
{{- define "CHART.metricsIngress" -}}
- ports: [{port: 9091, protocol: TCP}]
  {{- with .Values.networkPolicy.metricsFrom }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/*
Names, and the API server. A policy sees the API server's own address and port, not its Service's, and both differ from
cluster to cluster: so any address, at the usual ports and those that this cluster has published.
*/}}
{{- define "CHART.commonEgress" -}}
{{- $ports := list 443 6443 8443 16443 -}}
{{- $published := lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes" -}}
{{- range $published.ports -}}
{{- $ports = append $ports (int .port) -}}
{{- end -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
- ports:
    {{- range uniq $ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}
