{{/*
Values that contradict each other: refused before anything is made, with a sentence that names the keys. What one key may
be is said by values.schema.json.
*/}}
{{- define "moorage-planner.validate" -}}
{{- if and .Values.plan .Values.existingConfigMap -}}
{{- fail (printf "plan and existingConfigMap (%s) are both set: there is one plan; remove one" .Values.existingConfigMap) -}}
{{- end -}}
{{- if and (eq (int .Values.service.port) 9091) (eq .Values.service.type "ClusterIP") -}}
{{- fail "service.port: is 9091, where the same Service shows the metrics: take another" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (ne .Values.service.type "ClusterIP") -}}
{{- fail (printf "serviceMonitor.enabled and service.type %s: metrics are not shown outside the cluster; keep service.type ClusterIP, or turn serviceMonitor.enabled off" .Values.service.type) -}}
{{- end -}}
{{- end -}}
