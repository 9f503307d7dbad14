{{/* What is this chart's own in its pods; the rest is in shared/. */}}

{{/* Names below global belong to other charts: two of one release must not have the same. */}}
{{- define "castai-evictor.naming" -}}
nameOverride: {{ .Values.nameOverride | quote }}
fullnameOverride: {{ .Values.fullnameOverride | quote }}
serviceAccount: {{ toJson .Values.serviceAccount }}
{{- end -}}

{{- define "castai-evictor.command" -}}
evictor
{{- end -}}

{{/* Where it answers probes and shows its metrics: the closed chart's port, which its Service leads to. */}}
{{- define "castai-evictor.healthName" -}}
http
{{- end -}}

{{- define "castai-evictor.healthPort" -}}
8080
{{- end -}}

{{- define "castai-evictor.metricsPort" -}}
http
{{- end -}}

{{/* The published names: securityContext is the pods', containerSecurityContext the container's. */}}
{{- define "castai-evictor.podContext" -}}
{{- .Values.securityContext | default dict | toYaml -}}
{{- end -}}

{{- define "castai-evictor.containerContext" -}}
{{- .Values.containerSecurityContext | default dict | toYaml -}}
{{- end -}}

{{- define "castai-evictor.hostNetwork" -}}
{{- .Values.podSpec.hostNetwork | default false -}}
{{- end -}}

{{- define "castai-evictor.deploymentLabels" -}}
{{- include "castai-evictor.managedLabel" . -}}
{{- end -}}

{{- define "castai-evictor.leaseName" -}}
{{- include "castai-evictor.fullname" . -}}
{{- end -}}

{{- define "castai-evictor.rulesConfigMap" -}}
{{- include "castai-evictor.fullname" . }}-config
{{- end -}}

{{- define "castai-evictor.pricesConfigMap" -}}
{{- include "castai-evictor.fullname" . }}-prices
{{- end -}}

{{- define "castai-evictor.env" -}}
{{- include "castai-evictor.ownEnv" . }}
{{- $values := .Values }}
- name: MOORAGE_LEASE_NAME
  value: {{ include "castai-evictor.leaseName" . | quote }}
- name: MOORAGE_LEADER_ELECTION
  value: {{ .Values.leaderElection.enabled | quote }}
- name: MOORAGE_MANAGED
  value: {{ include "castai-evictor.managed" . | quote }}
- name: MOORAGE_RULES_CONFIG_MAP
  value: {{ include "castai-evictor.rulesConfigMap" . | quote }}
- name: MOORAGE_PRICES_CONFIG_MAP
  value: {{ include "castai-evictor.pricesConfigMap" . | quote }}
{{- range $key, $name := include "castai-evictor.settings" . | fromYaml }}
- name: MOORAGE_{{ $name }}
  value: {{ include "castai-evictor.text" (get $values $key) | quote }}
{{- end }}
{{- range $key, $name := dict "baseCPUCost" "BASE_CPU_COST" "baseMemCost" "BASE_MEM_COST" "spotDiscount" "SPOT_DISCOUNT" }}
- name: MOORAGE_{{ $name }}
  value: {{ get $values.pricingModel $key | quote }}
{{- end }}
- name: MOORAGE_SOFT_TAINTING
  value: {{ .Values.softTainting.enabled | quote }}
- name: MOORAGE_DESTINATIONS
  value: {{ .Values.destinations.enabled | quote }}
# What is not given back by then a kubelet would cut off.
- name: MOORAGE_STOP_GRACE
  value: {{ printf "%ds" (max 1 (div (mul 2 (int .Values.terminationGracePeriodSeconds)) 3)) | quote }}
{{- end -}}

{{/* Values that the process is told as they are. */}}
{{- define "castai-evictor.settings" -}}
evictorEnabled: EVICTOR_ENABLED
dryRun: DRY_RUN
aggressiveMode: AGGRESSIVE_MODE
scopedMode: SCOPED_MODE
nodeGracePeriodMinutes: NODE_GRACE_PERIOD_MINUTES
cycleInterval: CYCLE_INTERVAL
maxNodesToEvictPerCycle: MAX_TARGET_NODES_PER_CYCLE
minNodesToEvictPerCycle: MIN_TARGET_NODES_PER_CYCLE
targetNodePercentage: TARGET_NODE_PERCENTAGE
drainTimeout: DRAIN_TIMEOUT
drainRollbackTimeout: DRAIN_ROLLBACK_TIMEOUT
podEvictionFailureBackOff: POD_EVICTION_FAILURE_BACK_OFF
parallelDrains: PARALLEL_DRAINS
emptyNodeTimeout: EMPTY_NODE_TIMEOUT
emitNodeRelatedPodEvents: EMIT_NODE_RELATED_POD_EVENTS
arm64Supported: ARM64_SUPPORTED
windows: WINDOWS
targetUtilization: TARGET_UTILIZATION
quietPeriod: QUIET_PERIOD
allowSpot: ALLOW_SPOT
ownerWindow: OWNER_WINDOW
{{- end -}}

{{- define "castai-evictor.ports" -}}
{{- end -}}

{{/* None: rules and prices are read through the API, where changes are seen at once. */}}
{{- define "castai-evictor.volumes" -}}
{{- end -}}

{{- define "castai-evictor.volumeMounts" -}}
{{- end -}}

{{- define "castai-evictor.podChecksums" -}}
{{- end -}}

{{/*
Whose the definition of EvictorConfig is that is there: "ours" (or none is there), or "theirs". The closed chart has a Job
that makes it, so that it belongs to no release: Helm would refuse every upgrade from there.
*/}}
{{- define "castai-evictor.definition" -}}
{{- $there := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "evictorconfigs.autoscaling.cast.ai" -}}
{{- $owner := $there | include "castai-evictor.owner" | fromYaml -}}
{{- if and $there (or (ne $owner.release .Release.Name) (ne $owner.namespace .Release.Namespace)) -}}
theirs
{{- else -}}
ours
{{- end -}}
{{- end -}}

{{/* Whether it may reserve slots: without evictions there is nothing to reserve them for. */}}
{{- define "castai-evictor.reserves" -}}
{{- if and (not .Values.dryRun) .Values.destinations.enabled }}true{{ end }}
{{- end -}}
