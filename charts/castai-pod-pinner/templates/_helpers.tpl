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

{{/* Where it answers probes and shows its metrics. */}}
{{- define "castai-pod-pinner.healthName" -}}
healthz
{{- end -}}

{{- define "castai-pod-pinner.healthPort" -}}
9091
{{- end -}}

{{- define "castai-pod-pinner.metricsPort" -}}
metrics
{{- end -}}

{{- define "castai-pod-pinner.podContext" -}}
{{- .Values.podSecurityContext | default dict | toYaml -}}
{{- end -}}

{{- define "castai-pod-pinner.containerContext" -}}
{{- .Values.securityContext | default dict | toYaml -}}
{{- end -}}

{{- define "castai-pod-pinner.deploymentLabels" -}}
{{- include "castai-pod-pinner.managedLabel" . -}}
{{- end -}}

{{- define "castai-pod-pinner.leaseName" -}}
{{- include "castai-pod-pinner.fullname" . }}-leader-election
{{- end -}}

{{/* "true" when pods are pinned while they are created; a dry run changes nothing, and so has no webhook. */}}
{{- define "castai-pod-pinner.hasWebhook" -}}
{{- and .Values.webhook.enabled (not .Values.dryRun) -}}
{{- end -}}

{{/* Names the Service of the webhook, and the Secret that the chart makes for it. */}}
{{- define "castai-pod-pinner.webhookName" -}}
{{- include "castai-pod-pinner.fullname" . | trunc 55 | trimSuffix "-" }}-webhook
{{- end -}}

{{/* Names what `helm test` makes; a Job's name is a label of its pods. */}}
{{- define "castai-pod-pinner.checkName" -}}
{{- include "castai-pod-pinner.fullname" . | trunc 57 | trimSuffix "-" }}-check
{{- end -}}

{{- define "castai-pod-pinner.webhookSecret" -}}
{{- .Values.webhook.existingSecret | default (include "castai-pod-pinner.webhookName" .) -}}
{{- end -}}

{{- define "castai-pod-pinner.hostNetwork" -}}
{{- or (and (eq (include "castai-pod-pinner.hasWebhook" .) "true") .Values.webhook.hostNetwork) .Values.podSpec.hostNetwork | default false -}}
{{- end -}}

{{/* Where the pods listen for it; in the network of a node 10250 is its kubelet's. */}}
{{- define "castai-pod-pinner.webhookPort" -}}
{{- int (.Values.webhook.port | default (ternary 10260 10250 (eq (include "castai-pod-pinner.hostNetwork" .) "true"))) -}}
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

{{/*
Secret and key of what is shown to the planner, and as `closed` the value that it comes from when it was made for the
closed product: a value of the closed chart, or one of ours that names a Secret of that product.
*/}}
{{- define "castai-pod-pinner.keySource" -}}
{{- $ref := .Values.planner.apiKeySecretRef -}}
{{- $global := .Values.global.castai -}}
{{- $source := dict "name" (include "castai-pod-pinner.clientSecret" .) "key" "API_KEY" "closed" "" -}}
{{- if $ref.name -}}
{{- $theirs := regexMatch "^castai-(agent|cluster-controller|evictor|kvisor|pod-pinner|spot-handler|workload-autoscaler)$" $ref.name -}}
{{- $source = dict "name" $ref.name "key" $ref.key "closed" (ternary "planner.apiKeySecretRef.name" "" $theirs) -}}
{{- else if .Values.castai.apiKey -}}
{{- $source = merge (dict "name" (include "castai-pod-pinner.fullname" .) "closed" "castai.apiKey") $source -}}
{{- else if .Values.castai.apiKeySecretRef -}}
{{- $source = merge (dict "name" .Values.castai.apiKeySecretRef "closed" "castai.apiKeySecretRef") $source -}}
{{- else if $global.apiKeySecretRef -}}
{{- $source = merge (dict "name" $global.apiKeySecretRef "closed" "global.castai.apiKeySecretRef") $source -}}
{{- end -}}
{{- toYaml $source -}}
{{- end -}}

{{/*
"true" when the planner is outside the release's namespace: its address is neither this pod's own nor one of the names
that the cluster's DNS has for a Service there. The process judges alike (moorage/pinner/stream/credentials.py).
*/}}
{{- define "castai-pod-pinner.isOutside" -}}
{{- $address := include "castai-pod-pinner.plannerAddress" . | lower -}}
{{- $host := regexReplaceAll ":[0-9]+$" $address "" -}}
{{- $here := printf "^([a-z]([-a-z0-9]*[a-z0-9])?([.]%s([.]svc([.]cluster[.]local[.]?)?)?)?|127[.][0-9.]+|[[]::1[]])?$" .Release.Namespace -}}
{{- not (regexMatch $here $host) -}}
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
- name: MOORAGE_DEPLOYMENT
  value: {{ include "castai-pod-pinner.fullname" . | quote }}
{{- with include "castai-pod-pinner.plannerAddress" . }}
- name: MOORAGE_PLANNER_ADDRESS
  value: {{ . | quote }}
{{- end }}
- name: MOORAGE_API_KEY_FILE
  value: /etc/moorage/planner/api-key
{{- if (include "castai-pod-pinner.keySource" . | fromYaml).closed }}
- name: MOORAGE_CLOSED_API_KEY
  value: "true"
{{- end }}
{{- if .Values.planner.allowClosedKey }}
- name: MOORAGE_ALLOW_CLOSED_KEY
  value: "true"
{{- end }}
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
  value: {{ include "castai-pod-pinner.managed" . | quote }}
- name: MOORAGE_WEBHOOK
  value: {{ include "castai-pod-pinner.hasWebhook" . | quote }}
{{- if eq (include "castai-pod-pinner.hasWebhook" .) "true" }}
{{ include "castai-pod-pinner.webhookEnv" . }}
{{- end }}
{{- end -}}

{{- define "castai-pod-pinner.webhookEnv" -}}
- name: MOORAGE_WEBHOOK_ADDRESS
  value: ":{{ include "castai-pod-pinner.webhookPort" . }}"
{{- with .Values.webhook.url }}
- name: MOORAGE_WEBHOOK_URL
  value: {{ . | quote }}
{{- end }}
- name: MOORAGE_WEBHOOK_SERVICE
  value: {{ include "castai-pod-pinner.webhookName" . | quote }}
- name: MOORAGE_WEBHOOK_PORT
  value: {{ int .Values.service.port | quote }}
- name: MOORAGE_WEBHOOK_CONFIGURATION
  value: {{ include "castai-pod-pinner.clusterName" . | quote }}
- name: MOORAGE_WEBHOOK_SECRET
  value: {{ include "castai-pod-pinner.webhookSecret" . | quote }}
- name: MOORAGE_WEBHOOK_TIMEOUT
  value: {{ int .Values.webhook.timeoutSeconds | quote }}
- name: MOORAGE_DESTINATIONS
  value: {{ .Values.destinations.mode | quote }}
{{- end -}}

{{- define "castai-pod-pinner.ports" -}}
{{- if eq (include "castai-pod-pinner.hasWebhook" .) "true" -}}
- name: webhook
  containerPort: {{ include "castai-pod-pinner.webhookPort" . }}
{{- end -}}
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
