{{/* What is this chart's own in its pods; the rest is in shared/. */}}

{{/* Names in their old places at the top win over those below global. */}}
{{- define "castai-pod-pinner.naming" -}}
{{- $values := .Values -}}
{{- $global := .Values.global -}}
{{- $old := $values.serviceAccount | default dict -}}
{{- $account := $global.serviceAccount | default dict -}}
nameOverride: {{ $values.nameOverride | default $global.nameOverride | quote }}
fullnameOverride: {{ $values.fullnameOverride | default $global.fullnameOverride | quote }}
serviceAccount:
  create: {{ ne (toString (ternary $old.create $account.create (hasKey $old "create"))) "false" }}
  name: {{ $old.name | default $account.name | quote }}
  annotations: {{ merge (dict) ($old.annotations | default dict) ($account.annotations | default dict) | toJson }}
{{- end -}}

{{- define "castai-pod-pinner.command" -}}
pod-pinner
{{- end -}}

{{/*
"true" or "false" for a manager. Only the exact value false disables, as in the closed chart. Deployment and pods carry it.
*/}}
{{- define "castai-pod-pinner.deploymentLabels" -}}
charts.cast.ai/managed: {{ ne (toString .Values.managedByCASTAI) "false" | toString | quote }}
{{- end -}}

{{- define "castai-pod-pinner.leaseName" -}}
{{- include "castai-pod-pinner.fullname" . }}-leader-election
{{- end -}}

{{/*
Where the planner serves, when the values say so. An address of the closed product counts as unset: instructions come from
nobody there, and no key is to be shown to it. Empty: the process looks for the chart moorage-planner in this namespace,
or where API_GRPC_URL of envFrom says.
*/}}
{{- define "castai-pod-pinner.plannerAddress" -}}
{{- $address := .Values.planner.address -}}
{{- range list .Values.castai.grpcURL .Values.global.castai.grpcURL -}}
{{- if not (or $address (eq (include "castai-pod-pinner.closedAddress" .) "true")) -}}
{{- $address = . -}}
{{- end -}}
{{- end -}}
{{- $address -}}
{{- end -}}

{{- define "castai-pod-pinner.closedAddress" -}}
{{- regexMatch "(?i)(^|[.])cast[.]ai[.]?(:|$)" . -}}
{{- end -}}

{{/* The planner of the chart moorage-planner: its name, and the Secret it fills for those who follow it. */}}
{{- define "castai-pod-pinner.defaultPlanner" -}}
moorage-planner
{{- end -}}

{{- define "castai-pod-pinner.clientSecret" -}}
{{- include "castai-pod-pinner.defaultPlanner" . }}-client
{{- end -}}

{{/* Secret and key of what is shown to the planner. */}}
{{- define "castai-pod-pinner.keySource" -}}
{{- $own := ternary (include "castai-pod-pinner.fullname" .) "" (not (empty .Values.castai.apiKey)) -}}
{{- $published := $own | default .Values.castai.apiKeySecretRef | default .Values.global.castai.apiKeySecretRef -}}
{{- $ref := .Values.planner.apiKeySecretRef -}}
{{- if $ref.name -}}
{{- dict "name" $ref.name "key" $ref.key | toYaml -}}
{{- else -}}
{{- dict "name" ($published | default (include "castai-pod-pinner.clientSecret" .)) "key" "API_KEY" | toYaml -}}
{{- end -}}
{{- end -}}

{{/* Secret and key of the authority of the planner's certificate. */}}
{{- define "castai-pod-pinner.caSource" -}}
{{- $ref := .Values.planner.caSecretRef -}}
{{- if $ref.name -}}
{{- dict "name" $ref.name "key" $ref.key | toYaml -}}
{{- else -}}
{{- dict "name" (include "castai-pod-pinner.clientSecret" .) "key" "ca.crt" | toYaml -}}
{{- end -}}
{{- end -}}

{{- define "castai-pod-pinner.env" -}}
{{- include "castai-pod-pinner.ownEnv" . }}
- name: MOORAGE_LEASE_NAME
  value: {{ include "castai-pod-pinner.leaseName" . | quote }}
{{- with include "castai-pod-pinner.plannerAddress" . }}
- name: MOORAGE_PLANNER_ADDRESS
  value: {{ . | quote }}
{{- end }}
- name: MOORAGE_API_KEY_FILE
  value: /etc/moorage/planner/api-key
- name: MOORAGE_PLANNER_CA_FILE
  value: /etc/moorage/planner/ca.crt
{{- with .Values.castai }}
{{- if .clusterID }}
- name: MOORAGE_CLUSTER_ID
  value: {{ .clusterID | quote }}
{{- else if .clusterIdSecretKeyRef.name }}
- name: MOORAGE_CLUSTER_ID
  valueFrom:
    secretKeyRef: {name: {{ .clusterIdSecretKeyRef.name | quote }}, key: {{ .clusterIdSecretKeyRef.key | quote }}, optional: true}
{{- else if .clusterIdConfigMapKeyRef.name }}
- name: MOORAGE_CLUSTER_ID
  valueFrom:
    configMapKeyRef: {name: {{ .clusterIdConfigMapKeyRef.name | quote }}, key: {{ .clusterIdConfigMapKeyRef.key | quote }}, optional: true}
{{- end }}
{{- end }}
- name: MOORAGE_PROVIDER_PROFILE
  value: {{ .Values.provider.profile | quote }}
- name: MOORAGE_DRY_RUN
  value: {{ .Values.dryRun | quote }}
- name: MOORAGE_MANAGED
  value: {{ ne (toString .Values.managedByCASTAI) "false" | toString | quote }}
{{- end -}}

{{- define "castai-pod-pinner.ports" -}}
{{- end -}}

{{/*
Key and authority come as files that may appear later and change: a planner can be installed after us, and keys are
rotated. All are optional, the process says what is missing.
*/}}
{{- define "castai-pod-pinner.volumes" -}}
{{- $key := include "castai-pod-pinner.keySource" . | fromYaml -}}
{{- $ca := include "castai-pod-pinner.caSource" . | fromYaml -}}
- name: planner
  projected:
    sources:
      - secret:
          name: {{ $key.name | quote }}
          optional: true
          items: [{key: {{ $key.key | quote }}, path: api-key}]
      - secret:
          name: {{ $ca.name | quote }}
          optional: true
          items: [{key: {{ $ca.key | quote }}, path: ca.crt}]
{{- end -}}

{{- define "castai-pod-pinner.volumeMounts" -}}
- name: planner
  mountPath: /etc/moorage/planner
  readOnly: true
{{- end -}}

{{/* A key given as a value is known when it changes; keys of other Secrets are read again by the process. */}}
{{- define "castai-pod-pinner.podChecksums" -}}
{{- with .Values.castai.apiKey -}}
checksum/api-key: {{ sha256sum . }}
{{- end -}}
{{- end -}}
