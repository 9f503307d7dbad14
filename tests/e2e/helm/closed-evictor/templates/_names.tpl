{{- define "standin.selector" -}}
app.kubernetes.io/name: castai-evictor
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "standin.metadata" -}}
labels:
  helm.sh/chart: castai-evictor-{{ .Chart.Version }}
  {{- include "standin.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
