{{/* What is this chart's own in its pods; the rest is in shared/. */}}

{{- define "moorage-planner.command" -}}
planner
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

{{/* The filled Secrets that this release has, as a list: a certificate or key of the user's own takes their place. */}}
{{- define "moorage-planner.filledSecrets" -}}
{{- $names := list -}}
{{- if not .Values.tls.existingSecret -}}
{{- $names = append $names (include "moorage-planner.tlsSecret" .) -}}
{{- end -}}
{{- if not (and .Values.tls.existingSecret .Values.apiKey.existingSecret) -}}
{{- $names = append $names (include "moorage-planner.clientSecret" .) -}}
{{- end -}}
{{- toYaml $names -}}
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
- name: MOORAGE_PLAN
  value: /etc/moorage/plan/plan.yaml
- name: MOORAGE_LISTEN
  value: ":9443"
- name: MOORAGE_OUTPUT
  value: json
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
{{- if has (include "moorage-planner.clientSecret" .) (include "moorage-planner.filledSecrets" . | fromYamlArray) }}
- name: MOORAGE_CLIENT_SECRET
  value: {{ include "moorage-planner.clientSecret" . }}
{{- end }}
{{- end -}}

{{- define "moorage-planner.ports" -}}
- name: grpc
  containerPort: 9443
{{- end -}}

{{/* Whole folders, never subPath: only so does a pod see a changed plan, key or certificate. */}}
{{- define "moorage-planner.volumes" -}}
- name: plan
  configMap:
    name: {{ include "moorage-planner.planConfigMap" . }}
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
