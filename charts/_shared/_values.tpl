{{/*
Values as the templates see them. Shared by all charts: edit charts/_shared and run `./taskw generate`.

Each chart gets a copy of these files under its own prefix. A library chart would have to be vendored or published before
the charts could be packaged, and unprefixed helpers of two charts overwrite each other in an umbrella chart that holds
different versions of them.
*/}}

{{/*
Begins every template: what is missing in .Values is filled in, contradictions are refused.

`helm upgrade --reuse-values` replaces values.yaml by the values of the release's former chart, so any key that chart did
not know is missing. Plain values come from files/defaults.yaml; maps and lists are empty then.

Helm gives all templates of a chart the same .Values: the first that is rendered does it for the others, which costs a
fifth less. Where each had its own, each would find no mark and do it itself.
*/}}
{{- define "CHART.init" -}}
{{- if not (hasKey .Values "initialized") -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- include "CHART.fill" (dict "values" .Values "defaults" (omit $defaults "replicas" "replicaCount")) -}}
{{- include "CHART.fill" (dict "values" .Values "defaults" (dict
  "global" (dict
    "commonLabels" (dict) "commonAnnotations" (dict) "labels" (dict) "annotations" (dict)
    "tolerations" (list) "imagePullSecrets" (list)
  )
  "serviceMonitor" (dict "labels" (dict) "relabelings" (list) "metricRelabelings" (list))
  "service" (dict "labels" (dict) "annotations" (dict) "ipFamilies" (list))
  "prometheusRule" (dict "labels" (dict))
  "grafanaDashboard" (dict "labels" (dict) "annotations" (dict))
  "networkPolicy" (dict "apiServerPorts" (list) "metricsFrom" (list) "extraIngress" (list) "extraEgress" (list))
)) -}}
{{- range $key := list "commonLabels" "commonAnnotations" "podLabels" "podAnnotations" "additionalEnv" "resources" "affinity" "dnsConfig" "podSpec" "deploymentLabels" "deploymentAnnotations" -}}
{{- include "CHART.fill" (dict "values" $.Values "defaults" (dict $key (dict))) -}}
{{- end -}}
{{- range $key := list "imagePullSecrets" "tolerations" "envFrom" "extraEnv" "extraVolumes" "extraVolumeMounts" "extraObjects" "hostAliases" -}}
{{- include "CHART.fill" (dict "values" $.Values "defaults" (dict $key (list))) -}}
{{- end -}}
{{- include "CHART.globals" . -}}
{{- include "CHART.validate" . -}}
{{- include "CHART.validateBudget" . -}}
{{- include "CHART.validateTogether" . -}}
{{- include "CHART.validatePodSpec" . -}}
{{- $_ := set .Values "initialized" true -}}
{{- end -}}
{{- end -}}

{{/*
Names below `global` that other charts have for the same, made part of ours. An umbrella hands one `global` to all of its
charts: doing this again changes nothing.
*/}}
{{- define "CHART.globals" -}}
{{- $global := .Values.global -}}
{{- with $global.imageRegistry -}}
{{- if or (not $global.registry) (eq (include "CHART.closedRegistry" $) "true") -}}
{{- $_ := set $global "registry" . -}}
{{- else if and (ne . $global.registry) (not (regexMatch "castai-hub(/|$)" .)) -}}
{{- fail (printf "global.registry is %s and global.imageRegistry is %s: they mean the same; remove one" $global.registry .) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $global "commonLabels" (merge (dict) $global.commonLabels $global.labels) -}}
{{- $_ := set $global "commonAnnotations" (merge (dict) $global.commonAnnotations $global.annotations) -}}
{{- end -}}

{{/* Adds to .values, in place, what it lacks of .defaults. */}}
{{- define "CHART.fill" -}}
{{- range $key, $default := .defaults -}}
{{- if ne (include "CHART.given" (dict "values" $.values "key" $key)) "true" -}}
{{- $_ := set $.values $key (deepCopy $default) -}}
{{- else if kindIs "map" $default -}}
{{- include "CHART.fill" (dict "values" (get $.values $key) "defaults" $default) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" when .values has .key, be its value 0, false or empty. */}}
{{- define "CHART.given" -}}
{{- and (hasKey .values .key) (not (kindIs "invalid" (get .values .key))) -}}
{{- end -}}

{{/*
How many pods: `replicas`, or `replicaCount` of the closed charts, else the schema's default; 0 means 0. The validation
sees to it that the two do not differ.
*/}}
{{- define "CHART.replicas" -}}
{{- $wanted := (.Files.Get "files/defaults.yaml" | fromYaml).replicas -}}
{{- range $key := list "replicaCount" "replicas" -}}
{{- if eq (include "CHART.given" (dict "values" $.Values "key" $key)) "true" -}}
{{- $wanted = get $.Values $key -}}
{{- end -}}
{{- end -}}
{{- if eq (toString (get .Values "deploy")) "false" -}}
{{- $wanted = 0 -}}
{{- end -}}
{{- int $wanted -}}
{{- end -}}

{{/* Two names of one number: they may both be there, and say the same. */}}
{{- define "CHART.validateReplicas" -}}
{{- if and (eq (include "CHART.given" (dict "values" .Values "key" "replicas")) "true")
           (eq (include "CHART.given" (dict "values" .Values "key" "replicaCount")) "true") -}}
{{- if ne (int .Values.replicas) (int .Values.replicaCount) -}}
{{- fail (printf "replicas is %d and replicaCount is %d: they mean the same; remove one (--reset-then-reuse-values --set replicaCount=null removes one that an earlier release has set)" (int .Values.replicas) (int .Values.replicaCount)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The keys because of which nothing runs, for sentences: "replicaCount is 0". */}}
{{- define "CHART.zeroKeys" -}}
{{- $keys := list -}}
{{- range $key := list "replicas" "replicaCount" -}}
{{- if eq (toString (get $.Values $key)) "0" }}{{ $keys = append $keys (printf "%s is 0" $key) }}{{ end -}}
{{- end -}}
{{- if eq (toString (get .Values "deploy")) "false" }}{{ $keys = append $keys "deploy is false" }}{{ end -}}
{{- join ", " $keys -}}
{{- end -}}

{{/* What --set needs so that the default number of replicas runs, whatever an earlier release has set. */}}
{{- define "CHART.setReplicas" -}}
{{- $below := include "CHART.below" . -}}
{{ $below }}replicas={{ int (.Files.Get "files/defaults.yaml" | fromYaml).replicas }}
{{- range $key := list "replicaCount" "deploy" -}}
{{- if eq (include "CHART.given" (dict "values" $.Values "key" $key)) "true" }},{{ $below }}{{ $key }}=null{{ end -}}
{{- end -}}
{{- end -}}

{{/* A mapping with every value as text. */}}
{{- define "CHART.texts" -}}
{{- $texts := dict -}}
{{- range $key, $value := . -}}
{{- $_ := set $texts $key (include "CHART.text" $value) -}}
{{- end -}}
{{- toYaml $texts -}}
{{- end -}}

{{/* Numbers as they were written, not as 1e+06. */}}
{{- define "CHART.text" -}}
{{- if kindIs "float64" . }}{{ toJson . }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}
