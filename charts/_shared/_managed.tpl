{{/* The label by which managers tell what is theirs, of charts that take the place of a closed one. */}}

{{/*
"true" or "false" for a manager. Only the exact value false disables, as in the closed chart. When nothing is said it is
true, but not beside the closed product's controller: that would take the Deployment for its own and put the closed
product back. Without a cluster to look at (`helm template`) there is no controller.
*/}}
{{- define "CHART.managed" -}}
{{- if eq (include "CHART.given" (dict "values" .Values "key" "managedByCASTAI")) "true" -}}
{{- ne (toString .Values.managedByCASTAI) "false" -}}
{{- else -}}
{{- ne (include "CHART.hasController" .) "true" -}}
{{- end -}}
{{- end -}}

{{- define "CHART.hasController" -}}
{{- not (empty (lookup "apps/v1" "Deployment" .Release.Namespace "castai-cluster-controller")) -}}
{{- end -}}

{{/* Deployment and pods carry it. */}}
{{- define "CHART.managedLabel" -}}
charts.cast.ai/managed: {{ include "CHART.managed" . | quote }}
{{- end -}}

{{- define "CHART.managedWarnings" -}}
{{- $given := eq (include "CHART.given" (dict "values" .Values "key" "managedByCASTAI")) "true" }}
{{- $controller := eq (include "CHART.hasController" .) "true" }}
{{- if and $controller (not $given) }}
- castai-cluster-controller is in this namespace and takes Deployments labelled charts.cast.ai/managed=true for its own. So
  managedByCASTAI, which is not set, means false here: else it may replace this one by the closed product.
{{- else if eq (include "CHART.managed" .) "true" }}
- managedByCASTAI is only the label charts.cast.ai/managed: nothing manages this release but you, until a manager exists.
{{- if $controller }}
- castai-cluster-controller is in this namespace and takes Deployments with that label for its own: it may replace this
  one by the closed product. Set managedByCASTAI=false:
    {{ include "CHART.upgrade" . }}managedByCASTAI=false
{{- end }}
{{- end }}
{{- end -}}
