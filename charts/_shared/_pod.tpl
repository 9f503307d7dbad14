{{/* The parts of our pods. */}}

{{/*
The image. A repository of the closed product (values of its chart, reused) counts as unset, and so do the tag and digest
that belong to it: what is in that image is not this program. Its tag alone, without a repository, names no image of ours
either. The default repository stands in files/defaults.yaml, where packaging puts the releaser's.

A released chart knows its image's digest. It counts as long as values name no other image: neither repository, tag nor
digest. A mirror (global.registry) has the same digest.
*/}}
{{- define "CHART.image" -}}
{{- $image := .Values.image -}}
{{- if eq (include "CHART.closedImage" .) "true" -}}
{{- $image = dict -}}
{{- end -}}
{{- $default := (.Files.Get "files/defaults.yaml" | fromYaml).image.repository -}}
{{- $repository := $image.repository | default $default -}}
{{- $released := ternary (index (.Chart.Annotations | default dict) "moorage.dev/image-digest") "" (eq $repository $default) -}}
{{- if and .Values.global.registry (ne (include "CHART.closedRegistry" .) "true") -}}
{{- $path := regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "" -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .Values.global.registry) $path -}}
{{- end -}}
{{- $tag := ternary "" $image.tag (eq (include "CHART.closedTag" .) "true") -}}
{{- printf "%s:%s" $repository ($tag | default .Chart.AppVersion) -}}
{{- with $image.digest | default (ternary "" $released (not (empty $tag))) -}}
@{{ . }}
{{- end -}}
{{- end -}}

{{/* What is the closed product's. The same expressions stand in schemas/values (x-unset), for `moorage validate`. */}}
{{- define "CHART.closedImage" -}}
{{- regexMatch "castai-hub/|(^|/)(castai-)?(pod-pinner|evictor)$" (.Values.image.repository | default "") -}}
{{- end -}}

{{- define "CHART.closedTag" -}}
{{- $default := (.Files.Get "files/defaults.yaml" | fromYaml).image.repository -}}
{{- and (has .Values.image.repository (list "" $default)) (regexMatch "^v[0-9]+[.][0-9]+" (.Values.image.tag | default "")) -}}
{{- end -}}

{{- define "CHART.closedRegistry" -}}
{{- regexMatch "castai-hub(/|$)" (.Values.global.registry | default "") -}}
{{- end -}}

{{- define "CHART.imagePullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.imagePullSecrets | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The environment: ours, then additionalEnv (a mapping) and extraEnv (a list). A name may come once: the API server's
server-side apply refuses a second one, and whoever sets a name of ours means a value of this chart.
*/}}
{{- define "CHART.environment" -}}
{{- $all := include "CHART.env" . | fromYamlArray -}}
{{- $seen := dict -}}
{{- range $all }}{{ $_ := set $seen .name "this chart sets it from a value of its own" }}{{ end -}}
{{- range $name, $value := .Values.additionalEnv -}}
{{- if hasKey $seen $name -}}
{{- fail (printf "additionalEnv.%s: %s; remove it" $name (get $seen $name)) -}}
{{- end -}}
{{- $_ := set $seen $name "additionalEnv sets it too" -}}
{{- $all = append $all (dict "name" $name "value" (include "CHART.text" $value)) -}}
{{- end -}}
{{- range $index, $entry := .Values.extraEnv -}}
{{- if hasKey $seen $entry.name -}}
{{- fail (printf "extraEnv[%d]: %s: %s; remove it" $index $entry.name (get $seen $entry.name)) -}}
{{- end -}}
{{- $_ := set $seen $entry.name (printf "extraEnv[%d] sets it too" $index) -}}
{{- $all = append $all $entry -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* What programs of all kinds are told about themselves. */}}
{{- define "CHART.ownEnv" -}}
- name: MOORAGE_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: MOORAGE_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: MOORAGE_LOG_LEVEL
  value: {{ .Values.log.level | quote }}
- name: MOORAGE_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
- name: MOORAGE_HEALTH_ADDRESS
  value: ":{{ include "CHART.healthPort" . }}"
{{- end -}}

{{/*
Affinity: Linux machines that are there to stay. Not placeholders (no kubelet yet) and not nodes being emptied, also for
those who tolerate every taint. Node selector terms are alternatives, so each one of the user's gets our conditions.
*/}}
{{- define "CHART.affinity" -}}
{{- $ours := list
  (dict "key" "kubernetes.io/os" "operator" "In" "values" (list "linux"))
  (dict "key" "moorage.dev/placeholder" "operator" "DoesNotExist")
  (dict "key" "autoscaling.cast.ai/draining" "operator" "DoesNotExist")
-}}
{{- $node := deepCopy (.Values.affinity.nodeAffinity | default dict) -}}
{{- $required := $node.requiredDuringSchedulingIgnoredDuringExecution | default dict -}}
{{- $terms := list -}}
{{- range $required.nodeSelectorTerms | default (list (dict)) -}}
{{- $terms = append $terms (set . "matchExpressions" (concat (.matchExpressions | default list) $ours)) -}}
{{- end -}}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) -}}
{{- merge (dict "nodeAffinity" $node) (omit .Values.affinity "nodeAffinity") | toYaml -}}
{{- end -}}

{{/*
Tolerations. The control plane's own nodes may hold us, as they hold other critical add-ons. There is none for the taint
of placeholders.
*/}}
{{- define "CHART.tolerations" -}}
{{- $critical := list (dict "key" "CriticalAddonsOnly" "operator" "Exists") -}}
{{- concat $critical .Values.global.tolerations .Values.tolerations | uniq | toYaml -}}
{{- end -}}

{{/*
Where pods run and how they find names, of all our pods alike: what the test reaches the program reaches.
  root; dnsPolicy: when values say nothing
*/}}
{{- define "CHART.surroundings" -}}
{{- $values := .root.Values -}}
{{- with $values.dnsPolicy | default .dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with $values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ quote . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- include "CHART.texts" . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Spread over machines and zones where there are several; two replicas also start on one machine. */}}
{{- define "CHART.spread" -}}
{{- if .Values.topologySpreadConstraints -}}
{{- toYaml .Values.topologySpreadConstraints -}}
{{- else -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- topologyKey: {{ . }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "CHART.selectorLabels" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}
{{- end -}}

{{/*
What Pod Security "restricted" asks for holds unless the user has decided otherwise: also with the values of a former
chart (--reuse-values), which had less. Only rendered, so that no value looks as if it had been given.

OpenShift gives every namespace ids of its own, and admits no pod that names others: there ours are left out, those of the
user are not.
*/}}
{{- define "CHART.podSecurityContext" -}}
{{- $context := include "CHART.podContext" . | fromYaml -}}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
{{- range $key := list "runAsUser" "runAsGroup" "fsGroup" -}}
{{- if eq (toString (get $context $key)) "65532" }}{{ $_ := unset $context $key }}{{ end -}}
{{- end -}}
{{- end -}}
{{- include "CHART.fill" (dict "values" $context "defaults" (dict
  "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault")
)) -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "CHART.securityContext" -}}
{{- $context := include "CHART.containerContext" . | fromYaml -}}
{{- include "CHART.fill" (dict "values" $context "defaults" (dict
  "allowPrivilegeEscalation" false "capabilities" (dict "drop" (list "ALL"))
)) -}}
{{- toYaml $context -}}
{{- end -}}
