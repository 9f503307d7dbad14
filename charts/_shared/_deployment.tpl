{{/*
The Deployment of a program. The chart's own helpers say what differs:
  CHART.command: the subcommand       CHART.env, CHART.envFrom      CHART.ports, CHART.volumes, CHART.volumeMounts
  CHART.podChecksums: annotations that restart the pods when something they read only at start has changed
  CHART.deploymentLabels: labels of the Deployment and of its pods
  CHART.healthPort, CHART.healthName: where it answers probes and shows its metrics; CHART.metricsPort: the Service's name for that
  CHART.podContext, CHART.containerContext: the values with the security contexts
  CHART.hostNetwork: "true" when the pods are in the network of their node
*/}}
{{- define "CHART.deployment" -}}
{{- include "CHART.refuseDeployment" . -}}
{{- $labels := include "CHART.deploymentLabels" . | fromYaml -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "CHART.metadata" (dict
    "of" "apps/v1 Deployment" "root" . "name" (include "CHART.fullname" .) "namespace" .Release.Namespace
    "labels" (merge (dict) $labels .Values.deploymentLabels) "annotations" .Values.deploymentAnnotations
  ) | nindent 2 }}
spec:
  replicas: {{ include "CHART.replicas" . }}
  revisionHistoryLimit: {{ int .Values.revisionHistoryLimit }}
  strategy:
    {{- include "CHART.strategy" (.Values.updateStrategy | default dict) | nindent 4 }}
  selector:
    matchLabels:
      {{- include "CHART.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      {{- include "CHART.podMetadata" (dict "root" . "labels" $labels) | nindent 6 }}
    spec:
      {{- include "CHART.wholePodSpec" . | nindent 6 }}
{{- end -}}

{{/*
How pods are replaced, as the API server takes it. Values are merged, so what the user has not said is the default's: its
rollingUpdate beside a type that has none, or its maxUnavailable 0 beside a maxSurge of 0. Without either nothing could be
replaced, and Kubernetes' own reading of that is 1 (ResolveFenceposts in pkg/controller/deployment/util). Numbers in quotes
would be no percentages.

Kubernetes' defaults are rendered, too: what the API server fills in belongs to nobody, and a server-side apply of Recreate
would leave it there, and be refused.
*/}}
{{- define "CHART.strategy" -}}
{{- $type := .type | default "RollingUpdate" -}}
type: {{ $type }}
{{- if ne $type "Recreate" }}
{{- $given := .rollingUpdate | default dict -}}
{{- $rolling := dict -}}
{{- range $key := list "maxSurge" "maxUnavailable" -}}
{{- $value := "25%" -}}
{{- if eq (include "CHART.given" (dict "values" $given "key" $key)) "true" }}{{ $value = include "CHART.text" (get $given $key) }}{{ end -}}
{{- $_ := set $rolling $key (ternary $value (int $value) (hasSuffix "%" $value)) -}}
{{- end -}}
{{- $none := "^0+%?$" -}}
{{- if and (regexMatch $none (toString $rolling.maxSurge)) (regexMatch $none (toString $rolling.maxUnavailable)) -}}
{{- $_ := set $rolling "maxUnavailable" 1 -}}
{{- end }}
rollingUpdate:
  {{- toYaml $rolling | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Our pods are not to be moved to save money: they are what moves the others, with care. */}}
{{- define "CHART.podMetadata" -}}
{{- $stay := dict "autoscaling.cast.ai/removal-disabled" "true" -}}
{{- $values := .root.Values -}}
{{- $checksums := include "CHART.podChecksums" .root | fromYaml -}}
labels:
  {{- include "CHART.labels" (dict "root" .root "labels" (merge (dict) .labels $values.podLabels $stay)) | nindent 2 }}
annotations:
  {{- $annotations := merge $checksums $values.podAnnotations $stay $values.commonAnnotations $values.global.commonAnnotations }}
  {{- include "CHART.texts" $annotations | nindent 2 }}
{{- end -}}

{{/* The pods' spec with what the value podSpec says besides. */}}
{{- define "CHART.wholePodSpec" -}}
{{- $ours := include "CHART.podSpec" . -}}
{{- if .Values.podSpec -}}
{{- $merged := fromYaml $ours -}}
{{- include "CHART.mergePodSpec" (dict "onto" $merged "with" .Values.podSpec) -}}
{{- $ours = toYaml $merged -}}
{{- end -}}
{{- $ours -}}
{{- end -}}

{{- define "CHART.podSpec" -}}
serviceAccountName: {{ include "CHART.serviceAccountName" . | quote }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- $hostNetwork := eq (include "CHART.hostNetwork" .) "true" }}
{{- if $hostNetwork }}
hostNetwork: true
{{- end }}
{{- include "CHART.surroundings" (dict "root" . "dnsPolicy" (ternary "ClusterFirstWithHostNet" "" $hostNetwork)) }}
{{- include "CHART.imagePullSecrets" . }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ quote . }}
{{- end }}
securityContext:
  {{- include "CHART.podSecurityContext" . | nindent 2 }}
terminationGracePeriodSeconds: {{ int .Values.terminationGracePeriodSeconds }}
containers:
  - name: CHART
    image: {{ include "CHART.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: [{{ include "CHART.command" . }}]
    env:
      {{- include "CHART.environment" . | nindent 6 }}
    {{- with .Values.envFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    ports:
      - name: {{ include "CHART.healthName" . }}
        containerPort: {{ include "CHART.healthPort" . }}
      {{- with include "CHART.ports" . }}
      {{- . | nindent 6 }}
      {{- end }}
    # A start on a busy machine takes a while; from then on the probes below count.
    startupProbe:
      httpGet: {path: /livez, port: {{ include "CHART.healthName" . }}}
      periodSeconds: 2
      failureThreshold: 60
    livenessProbe:
      httpGet: {path: /livez, port: {{ include "CHART.healthName" . }}}
      {{- toYaml .Values.livenessProbe | nindent 6 }}
    readinessProbe:
      httpGet: {path: /readyz, port: {{ include "CHART.healthName" . }}}
      {{- toYaml .Values.readinessProbe | nindent 6 }}
    {{- with .Values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- include "CHART.securityContext" . | nindent 6 }}
    volumeMounts:
      {{- with include "CHART.volumeMounts" . }}
      {{- . | nindent 6 }}
      {{- end }}
      - name: tmp
        mountPath: /tmp
      {{- with .Values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  {{- with include "CHART.volumes" . }}
  {{- . | nindent 2 }}
  {{- end }}
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
affinity:
  {{- include "CHART.affinity" . | nindent 2 }}
topologySpreadConstraints:
  {{- include "CHART.spread" . | trim | nindent 2 }}
tolerations:
  {{- include "CHART.tolerations" . | nindent 2 }}
{{- end -}}
