{{/*
What is in the cluster already and must not be overwritten: refused before anything is written, with the way out. All of
it is looked up, so `helm template` and GitOps tools that use it see nothing and render the same from the same values.
*/}}

{{/*
Fails when an object belongs to another release. Helm finds that too, but says nothing of what to do, and with
--take-ownership it goes on and ends half applied, because a Deployment's selector cannot be taken over.
  of: "apiVersion kind"   object: what CHART.metadata is given
*/}}
{{- define "CHART.refuseForeign" -}}
{{- $kind := splitList " " .of -}}
{{- $namespace := .object.namespace | default "" -}}
{{- $owner := lookup (first $kind) (last $kind) $namespace .object.name | include "CHART.owner" | fromYaml -}}
{{- $ours := .object.root.Release -}}
{{- if and $owner.release (or (ne $owner.release $ours.Name) (ne $owner.namespace $ours.Namespace)) -}}
{{- $place := ternary (printf "%s/%s" $namespace .object.name) .object.name (ne $namespace "") -}}
{{- fail (printf "%s %s belongs to release %s of namespace %s, and release %s cannot take it over: nothing has been changed. If that release holds nothing else, upgrade it under its own name: helm upgrade %s moorage/CHART -n %s --reset-then-reuse-values. Else take CHART out of it first (an umbrella chart has a switch for that), then run this again" (last $kind) $place $owner.release $owner.namespace $ours.Name $owner.release $owner.namespace) -}}
{{- end -}}
{{- end -}}

{{/* Which release an object that was looked up belongs to, if any. */}}
{{- define "CHART.owner" -}}
{{- $annotations := (.metadata | default dict).annotations | default dict -}}
release: {{ get $annotations "meta.helm.sh/release-name" | quote }}
namespace: {{ get $annotations "meta.helm.sh/release-namespace" | quote }}
{{- end -}}

{{/* Fails when the Deployment that is there cannot become ours, or would be stopped, or when others would be removed. */}}
{{- define "CHART.refuseDeployment" -}}
{{- $there := lookup "apps/v1" "Deployment" .Release.Namespace (include "CHART.fullname" .) -}}
{{- if $there -}}
{{- include "CHART.refuseSelector" (dict "root" . "there" $there) -}}
{{- include "CHART.refuseStop" (dict "root" . "there" $there) -}}
{{- end -}}
{{- include "CHART.refuseUmbrella" . -}}
{{- end -}}

{{- define "CHART.refuseSelector" -}}
{{- $wanted := include "CHART.selectorLabels" .root | fromYaml -}}
{{- $selector := .there.spec.selector -}}
{{- if or $selector.matchExpressions (ne (toJson $selector.matchLabels) (toJson $wanted)) -}}
{{- $place := printf "%s/%s" .root.Release.Namespace .there.metadata.name -}}
{{- fail (printf "Deployment %s selects its pods by %s, this release would select by %s, and a selector cannot be changed: nothing has been changed. Delete that Deployment first (kubectl delete deployment %s -n %s), or use the release name and nameOverride it was installed with" $place (toJson $selector.matchLabels) (toJson $wanted) .there.metadata.name .root.Release.Namespace) -}}
{{- end -}}
{{- end -}}

{{/*
Onboarding scripts of the closed product say replicaCount=0, and its service scales up later. Nobody does that here: where
replicas run, 0 must be meant, and `replicas` says so.
*/}}
{{- define "CHART.refuseStop" -}}
{{- $values := .root.Values -}}
{{- $run := max (int (.there.spec | default dict).replicas) (int (.there.status | default dict).readyReplicas) -}}
{{- $meant := eq (include "CHART.given" (dict "values" $values "key" "replicas")) "true" -}}
{{- if and (eq (include "CHART.replicas" .root) "0") (not $meant) (gt $run 0) -}}
{{- $below := include "CHART.below" .root -}}
{{- $unset := include "CHART.setReplicas" .root | regexFind ",.*" -}}
{{- fail (printf "%s, and Deployment %s/%s runs %d replicas: this would stop them, and nobody scales it up later. Nothing has been changed. To keep them, add --reset-then-reuse-values --set %sreplicas=%d%s; if they are to stop, say so with --set %sreplicas=0" (include "CHART.zeroKeys" .root) .root.Release.Namespace .there.metadata.name $run $below $run $unset $below) -}}
{{- end -}}
{{- end -}}

{{/*
An upgrade of an umbrella's release to this chart alone would remove everything else that it holds: the closed product's
agent, controller and more, or the other parts of the chart moorage. As a dependency of somebody's own chart this one removes nothing.
*/}}
{{- define "CHART.refuseUmbrella" -}}
{{- if and (eq .Template.BasePath "CHART/templates") .Release.IsUpgrade -}}
{{- range $name := without (list "castai-agent" "castai-cluster-controller" "castai-evictor" "castai-kvisor" "castai-pod-pinner" "castai-workload-autoscaler" "moorage-planner") "CHART" -}}
{{- $owner := lookup "apps/v1" "Deployment" $.Release.Namespace $name | include "CHART.owner" | fromYaml -}}
{{- if and (eq $owner.release $.Release.Name) (eq $owner.namespace $.Release.Namespace) -}}
{{- fail (printf "release %s also holds Deployment %s: upgrading it to this chart would remove that. Nothing has been changed. Turn CHART off in that release, and install this chart under a name of its own: helm upgrade --install CHART moorage/CHART -n %s" $.Release.Name $name $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
