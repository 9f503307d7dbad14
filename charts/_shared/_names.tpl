{{/* Names, labels and annotations: the rules of the closed charts, so that their releases upgrade in place. */}}

{{/*
Each chart says in CHART.naming what its users have chosen: nameOverride, fullnameOverride and serviceAccount. Which of the
names below `global` are meant for it differs from chart to chart. The chart's own name is its alias where a chart around it
has it twice: so neither selects the pods of the other.
*/}}
{{- define "CHART.name" -}}
{{- (include "CHART.naming" . | fromYaml).nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Names everything that lives in the release's namespace. */}}
{{- define "CHART.fullname" -}}
{{- $name := include "CHART.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- (include "CHART.naming" . | fromYaml).fullnameOverride | default $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Names what has no namespace, or lives in one that releases share: two releases in one cluster do not collide. */}}
{{- define "CHART.clusterName" -}}
{{- printf "%s.%s" (include "CHART.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "CHART.serviceAccountName" -}}
{{- $account := (include "CHART.naming" . | fromYaml).serviceAccount -}}
{{- $account.name | default (ternary (include "CHART.fullname" .) "default" $account.create) -}}
{{- end -}}

{{/* What selects our pods; it must never change, because a Deployment's selector cannot. */}}
{{- define "CHART.selectorLabels" -}}
app.kubernetes.io/name: {{ include "CHART.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/*
Labels of an object, of `root` and `labels`: those that everything carries win over those of one object. `app` is for pods
that are none of the program's: another app.kubernetes.io/name, so that nothing selects them.
*/}}
{{- define "CHART.labels" -}}
{{- $common := merge (dict) .root.Values.commonLabels .root.Values.global.commonLabels -}}
{{- $fixed := include "CHART.selectorLabels" .root | fromYaml -}}
{{- with .app }}{{ $_ := set $fixed "app.kubernetes.io/name" . }}{{ end -}}
{{- $_ := set $fixed "helm.sh/chart" (printf "CHART-%s" .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $fixed "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $fixed "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $fixed "app.kubernetes.io/part-of" "moorage" -}}
{{- include "CHART.texts" (merge $fixed (.labels | default dict) $common) -}}
{{- end -}}

{{/*
The metadata of an object.
  root: the chart's context   name: of the object   namespace: absent for cluster-scoped kinds
  of: "apiVersion kind", of which none of that name may belong to another release; absent where that is no harm
  app: see labels
  labels, annotations: of this object besides those that everything carries
*/}}
{{- define "CHART.metadata" -}}
{{- with .of }}{{ include "CHART.refuseForeign" (dict "of" . "object" $) }}{{ end -}}
{{- $annotations := merge (dict) (.annotations | default dict) .root.Values.commonAnnotations .root.Values.global.commonAnnotations -}}
name: {{ .name | quote }}
{{- with .namespace }}
namespace: {{ quote . }}
{{- end }}
labels:
  {{- include "CHART.labels" . | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- include "CHART.texts" . | nindent 2 }}
{{- end }}
{{- end -}}
