{{/* What is this chart's own in its pods; the rest is in shared/. */}}

{{/* Names below global belong to other charts: two of one release must not have the same. */}}
{{- define "moorage-planner.naming" -}}
nameOverride: {{ .Values.nameOverride | quote }}
fullnameOverride: {{ .Values.fullnameOverride | quote }}
serviceAccount: {{ toJson .Values.serviceAccount }}
{{- end -}}

{{- define "moorage-planner.command" -}}
planner
{{- end -}}

{{/* Where it answers probes and shows its metrics. */}}
{{- define "moorage-planner.healthName" -}}
healthz
{{- end -}}

{{- define "moorage-planner.healthPort" -}}
9091
{{- end -}}

{{- define "moorage-planner.metricsPort" -}}
metrics
{{- end -}}

{{- define "moorage-planner.podContext" -}}
{{- .Values.podSecurityContext | default dict | toYaml -}}
{{- end -}}

{{- define "moorage-planner.containerContext" -}}
{{- .Values.securityContext | default dict | toYaml -}}
{{- end -}}

{{- define "moorage-planner.hostNetwork" -}}
{{- .Values.podSpec.hostNetwork | default false -}}
{{- end -}}

{{- define "moorage-planner.deploymentLabels" -}}
{{- end -}}

{{/* The Secrets that the process fills: its certificate with the authority, and what pod pinners need. */}}
{{- define "moorage-planner.tlsSecret" -}}
{{- include "moorage-planner.fullname" . }}-tls
{{- end -}}

{{- define "moorage-planner.clientSecret" -}}
{{- include "moorage-planner.fullname" . }}-client
{{- end -}}

{{/*
The filled Secrets that this release has, as a list. A certificate of the user's own takes the place of the first; the
second always tells pod pinners which key and authority count, also when these are the user's.
*/}}
{{- define "moorage-planner.filledSecrets" -}}
{{- if not .Values.tls.existingSecret }}
- {{ include "moorage-planner.tlsSecret" . }}
{{- end }}
- {{ include "moorage-planner.clientSecret" . }}
{{- end -}}

{{- define "moorage-planner.leaseName" -}}
{{- include "moorage-planner.fullname" . -}}
{{- end -}}

{{- define "moorage-planner.planConfigMap" -}}
{{- .Values.existingConfigMap | default (printf "%s-plan" (include "moorage-planner.fullname" .)) -}}
{{- end -}}

{{/* Every name under which pod pinners may reach the Service. */}}
{{- define "moorage-planner.serviceNames" -}}
{{- $name := include "moorage-planner.fullname" . -}}
{{- $inNamespace := printf "%s.%s" $name .Release.Namespace -}}
{{- list $name $inNamespace (printf "%s.svc" $inNamespace) (printf "%s.svc.cluster.local" $inNamespace) | join "," -}}
{{- end -}}

{{- define "moorage-planner.env" -}}
{{- include "moorage-planner.ownEnv" . }}
- name: MOORAGE_POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: MOORAGE_PLAN
  value: /etc/moorage/plan/plan.yaml
- name: MOORAGE_LISTEN
  value: ":9443"
- name: MOORAGE_OUTPUT
  value: json
- name: MOORAGE_REBALANCING
  value: {{ .Values.rebalancing.enabled | quote }}
{{- if .Values.rebalancing.enabled }}
- name: MOORAGE_LEADER_ELECTION
  value: "true"
- name: MOORAGE_LEASE_NAME
  value: {{ include "moorage-planner.leaseName" . | quote }}
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: MOORAGE_TLS_CERT_FILE
  value: /etc/moorage/tls/tls.crt
- name: MOORAGE_TLS_KEY_FILE
  value: /etc/moorage/tls/tls.key
{{- else }}
- name: MOORAGE_TLS_SECRET
  value: {{ include "moorage-planner.tlsSecret" . }}
- name: MOORAGE_TLS_NAMES
  value: {{ include "moorage-planner.serviceNames" . | quote }}
{{- end }}
{{- if .Values.apiKey.existingSecret }}
- name: MOORAGE_API_KEY_FILE
  value: /etc/moorage/api-key/api-key
{{- end }}
- name: MOORAGE_CLIENT_SECRET
  value: {{ include "moorage-planner.clientSecret" . }}
{{- end -}}

{{- define "moorage-planner.ports" -}}
- name: grpc
  containerPort: 9443
{{- end -}}

{{/*
Whole folders, never subPath: only so does a pod see a changed plan, key or certificate. While there is no plan the process
runs, is not ready, and says so.
*/}}
{{- define "moorage-planner.volumes" -}}
- name: plan
  configMap:
    name: {{ include "moorage-planner.planConfigMap" . | quote }}
    optional: true
    items: [{key: plan.yaml, path: plan.yaml}]
{{- with .Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ . | quote }}
{{- end }}
{{- with .Values.apiKey.existingSecret }}
- name: api-key
  secret:
    secretName: {{ . | quote }}
    items: [{key: API_KEY, path: api-key}]
{{- end }}
{{- end -}}

{{- define "moorage-planner.volumeMounts" -}}
- name: plan
  mountPath: /etc/moorage/plan
  readOnly: true
{{- if .Values.tls.existingSecret }}
- name: tls
  mountPath: /etc/moorage/tls
  readOnly: true
{{- end }}
{{- if .Values.apiKey.existingSecret }}
- name: api-key
  mountPath: /etc/moorage/api-key
  readOnly: true
{{- end }}
{{- end -}}

{{/* None: plan, key and certificate are read again by the process whenever they change. */}}
{{- define "moorage-planner.podChecksums" -}}
{{- end -}}
