{{/* Whole objects that every program has. */}}

{{- define "CHART.serviceAccount" -}}
{{- $account := (include "CHART.naming" . | fromYaml).serviceAccount -}}
{{- if $account.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "CHART.metadata" (dict
    "of" "v1 ServiceAccount" "root" . "name" (include "CHART.serviceAccountName" .) "namespace" .Release.Namespace
    "annotations" $account.annotations
  ) | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}
{{- end -}}

{{/*
Rights and who has them.
  root, name, rules (YAML text); namespace: a Role there, else a ClusterRole
  account: of the release's namespace, by default the program's; annotations: of both objects
*/}}
{{- define "CHART.rights" -}}
{{- $kind := ternary "Role" "ClusterRole" (hasKey . "namespace") -}}
{{- $group := "rbac.authorization.k8s.io/v1" -}}
apiVersion: {{ $group }}
kind: {{ $kind }}
metadata:
  {{- include "CHART.metadata" (merge (dict "of" (printf "%s %s" $group $kind)) .) | nindent 2 }}
rules:
  {{- .rules | trim | nindent 2 }}
---
apiVersion: {{ $group }}
kind: {{ $kind }}Binding
metadata:
  {{- include "CHART.metadata" (merge (dict "of" (printf "%s %sBinding" $group $kind)) .) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ .account | default (include "CHART.serviceAccountName" .root) | quote }}
    namespace: {{ .root.Release.Namespace | quote }}
{{- end -}}

{{/* A PodDisruptionBudget has one of the two. */}}
{{- define "CHART.validateBudget" -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if and (eq (include "CHART.given" (dict "values" $budget "key" "minAvailable")) "true")
           (eq (include "CHART.given" (dict "values" $budget "key" "maxUnavailable")) "true") -}}
{{- fail "podDisruptionBudget.maxUnavailable and podDisruptionBudget.minAvailable are both set: a budget has one of them; remove the other (--reset-then-reuse-values --set podDisruptionBudget.maxUnavailable=null removes one that an earlier release has set)" -}}
{{- end -}}
{{- end -}}

{{/* Values that are taken one by one and refused together. The sentences stand in moorage/files/together.py, too. */}}
{{- define "CHART.validateTogether" -}}
{{- $values := .Values -}}
{{- if and (eq $values.dnsPolicy "None") (not $values.dnsConfig.nameservers) -}}
{{- fail "dnsPolicy: is None and dnsConfig.nameservers is empty: the pods would find no names; say there who is asked, or leave dnsPolicy out" -}}
{{- end -}}
{{- $service := $values.service -}}
{{- if and (eq $service.ipFamilyPolicy "SingleStack") (gt (uniq $service.ipFamilies | len) 1) -}}
{{- fail "service.ipFamilies: are two and service.ipFamilyPolicy is SingleStack: keep one family, or take another policy" -}}
{{- end -}}
{{- $monitor := $values.serviceMonitor -}}
{{- $timeout := $monitor.scrapeTimeout | default "" -}}
{{- if and $monitor.enabled (gt (include "CHART.milliseconds" $timeout | int64) (include "CHART.milliseconds" $monitor.interval | int64)) -}}
{{- fail (printf "serviceMonitor.scrapeTimeout: is %s and serviceMonitor.interval is %s: the Prometheus operator takes no monitor whose scrapes may take longer than the time between two" $timeout $monitor.interval) -}}
{{- end -}}
{{- end -}}

{{/* A duration of Prometheus, in milliseconds. */}}
{{- define "CHART.milliseconds" -}}
{{- $units := dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1 -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+[a-z]+" . -1 -}}
{{- $total = add $total (mul (regexFind "[0-9]+" . | int64) (get $units (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{- $total -}}
{{- end -}}

{{- define "CHART.podDisruptionBudget" -}}
{{- if .Values.podDisruptionBudget.enabled -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "CHART.metadata" (dict "of" "policy/v1 PodDisruptionBudget" "root" . "name" (include "CHART.fullname" .) "namespace" .Release.Namespace) | nindent 2 }}
spec:
  {{- $budget := .Values.podDisruptionBudget }}
  {{- if eq (include "CHART.given" (dict "values" $budget "key" "minAvailable")) "true" }}
  minAvailable: {{ include "CHART.text" $budget.minAvailable }}
  {{- else if eq (include "CHART.given" (dict "values" $budget "key" "maxUnavailable")) "true" }}
  maxUnavailable: {{ include "CHART.text" $budget.maxUnavailable }}
  {{- else }}
  maxUnavailable: 1
  {{- end }}
  # A pod that is not ready guards nothing: it never stands in the way of a drain.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "CHART.selectorLabels" . | nindent 6 }}
{{- end -}}
{{- end -}}

{{/*
What a Service is, besides its ports and selector: its metadata, and the beginning of its spec.
  root, name; type: of the Service
*/}}
{{- define "CHART.serviceHead" -}}
{{- $service := .root.Values.service -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "CHART.metadata" (dict
    "of" "v1 Service" "root" .root "name" .name "namespace" .root.Release.Namespace
    "labels" $service.labels "annotations" $service.annotations
  ) | nindent 2 }}
spec:
  type: {{ .type }}
  {{- /* The API server takes two families only with a policy that has two. */}}
  {{- $families := uniq $service.ipFamilies }}
  {{- with $service.ipFamilyPolicy | default (ternary "PreferDualStack" "" (gt (len $families) 1)) }}
  ipFamilyPolicy: {{ . }}
  {{- end }}
  {{- with $families }}
  ipFamilies: {{ toJson . }}
  {{- end }}
{{- end -}}

{{/*
A role that the cluster's own roles take in.
  root, name, rules (YAML text); into: which of them, as a list
*/}}
{{- define "CHART.aggregated" -}}
{{- $labels := dict -}}
{{- range .into }}{{ $_ := set $labels (printf "rbac.authorization.k8s.io/aggregate-to-%s" .) "true" }}{{ end -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  {{- include "CHART.metadata" (dict
    "of" "rbac.authorization.k8s.io/v1 ClusterRole" "root" .root "name" .name "labels" $labels
  ) | nindent 2 }}
rules:
  {{- .rules | trim | nindent 2 }}
{{- end -}}

{{/*
GKE admits pods of the system's priority classes only into namespaces whose quota mentions the class. The number is no
limit in practice.
*/}}
{{- define "CHART.criticalQuota" -}}
{{- if and (hasPrefix "system-" .Values.priorityClassName) (contains "-gke." .Capabilities.KubeVersion.Version) -}}
apiVersion: v1
kind: ResourceQuota
metadata:
  {{- include "CHART.metadata" (dict
    "of" "v1 ResourceQuota" "root" . "name" (printf "%s-critical-pods" (include "CHART.fullname" .)) "namespace" .Release.Namespace
  ) | nindent 2 }}
spec:
  hard: {pods: 1G}
  scopeSelector:
    matchExpressions:
      - scopeName: PriorityClass
        operator: In
        values: [{{ .Values.priorityClassName | quote }}]
{{- end -}}
{{- end -}}

{{- define "CHART.extraObjects" -}}
{{- range .Values.extraObjects }}
---
{{ tpl (ternary . (toYaml .) (kindIs "string" .)) $ }}
{{- end }}
{{- end -}}

{{/*
Annotations of a definition, YAML: it stays when the release goes, because every object of its kind would go with it. Helm
and Argo CD's deletion of an application read the first; Argo CD's pruning the second; the third keeps the application in
sync afterwards; Flux's pruning reads the last.
*/}}
{{- define "CHART.kept" -}}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false
argocd.argoproj.io/compare-options: IgnoreExtraneous
kustomize.toolkit.fluxcd.io/prune: disabled
{{- end -}}
