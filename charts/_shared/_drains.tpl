{{/*
What the accounts of programs that empty nodes may do, beyond what RBAC can say: it cannot tell a cordon of ours from a person's,
nor an eviction of one pod from one of whatever has its name.
*/}}

{{/* A policy for the account: "fence" has "resourceRules", "variables" and "validations". It asks first who it is, for others' sake. */ -}}
{{- define "CHART.drainPolicy" -}}
{{- $user := printf "system:serviceaccount:%s:%s" .root.Release.Namespace (include "CHART.serviceAccountName" .root) -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  {{- include "CHART.metadata" (dict "of" "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy" "root" .root "name" .name) | nindent 2 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      {{- toYaml .fence.resourceRules | nindent 6 }}
  matchConditions:
    - name: by-the-account
      expression: request.userInfo.username == {{ $user | squote }}
  variables:
    {{- toYaml .fence.variables | nindent 4 }}
  validations:
    {{- range .fence.validations }}
    - {{ merge (dict "reason" "Forbidden") . | toYaml | nindent 6 | trim }}
    {{- end }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "CHART.metadata" (dict "of" "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding" "root" .root "name" .name) | nindent 2 }}
spec:
  policyName: {{ .name | quote }}
  validationActions: [Deny]
{{- end -}}

{{/*
Nodes: one annotation, one taint, and cordons. Whose a cordon is stands in the annotation, as `drain/names.py` writes it; a
cordon is called ours only by the write that sets it, so that a person's never is. `dyn` is for fields of later versions: what
is not known stays as it is, too. A write of the status can change labels and annotations as well.
*/ -}}
{{- define "CHART.drainNodeFence" -}}
resourceRules:
  - {apiGroups: [""], apiVersions: [v1], resources: [nodes, nodes/status], operations: [CREATE, UPDATE, DELETE]}
variables:
  - name: updates
    expression: request.operation == 'UPDATE'
  - name: metadata
    expression: "object != null ? dyn(object.metadata) : dyn({})"
  - name: metadataBefore
    expression: "oldObject != null ? dyn(oldObject.metadata) : dyn({})"
  - name: annotations
    expression: "has(variables.metadata.annotations) ? variables.metadata.annotations : dyn({})"
  - name: annotationsBefore
    expression: "has(variables.metadataBefore.annotations) ? variables.metadataBefore.annotations : dyn({})"
  - name: spec
    expression: "object != null ? dyn(object.spec) : dyn({})"
  - name: specBefore
    expression: "oldObject != null ? dyn(oldObject.spec) : dyn({})"
  - name: others
    expression: >-
      (has(variables.spec.taints) ? variables.spec.taints : dyn([])).filter(taint,
      taint.key != 'evictor.cast.ai/evicted' || taint.effect != 'PreferNoSchedule')
  - name: othersBefore
    expression: >-
      (has(variables.specBefore.taints) ? variables.specBefore.taints : dyn([])).filter(taint,
      taint.key != 'evictor.cast.ai/evicted' || taint.effect != 'PreferNoSchedule')
  - name: cordoned
    expression: has(variables.spec.unschedulable) && variables.spec.unschedulable
  - name: cordonedBefore
    expression: has(variables.specBefore.unschedulable) && variables.specBefore.unschedulable
  - name: ours
    expression: >-
      'moorage.dev/drain' in variables.annotations &&
      variables.annotations['moorage.dev/drain'].matches({{ include "CHART.ourCordon" . }})
  - name: oursBefore
    expression: >-
      'moorage.dev/drain' in variables.annotationsBefore &&
      variables.annotationsBefore['moorage.dev/drain'].matches({{ include "CHART.ourCordon" . }})
validations:
  - expression: variables.updates
    message: the {{ include "CHART.command" . }} creates no Nodes and deletes none
  - expression: "!has(request.subResource) || request.subResource == ''"
    message: the {{ include "CHART.command" . }} writes no status of a Node
  - expression: >-
      !variables.updates || (
      variables.annotations.all(key, key == 'moorage.dev/drain' ||
      (key in variables.annotationsBefore && variables.annotations[key] == variables.annotationsBefore[key])) &&
      variables.annotationsBefore.all(key, key == 'moorage.dev/drain' || key in variables.annotations))
    message: the {{ include "CHART.command" . }} changes no annotation of a Node but moorage.dev/drain
  - expression: >-
      !variables.updates || (
      variables.metadata.all(field, field in {{ include "CHART.movingMetadata" . }} ||
      (field in variables.metadataBefore && variables.metadata[field] == variables.metadataBefore[field])) &&
      variables.metadataBefore.all(field,
      field in {{ include "CHART.movingMetadata" . }} || field in variables.metadata))
    message: "the {{ include "CHART.command" . }} changes no labels, ownerReferences or finalizers of a Node, nor anything else of its metadata"
  - expression: >-
      !variables.updates || (
      variables.spec.all(field, field in ['taints', 'unschedulable'] ||
      (field in variables.specBefore && variables.spec[field] == variables.specBefore[field])) &&
      variables.specBefore.all(field, field in ['taints', 'unschedulable'] || field in variables.spec))
    message: the {{ include "CHART.command" . }} changes nothing in a Node's spec but its taint and the cordon
  - expression: "!variables.updates || variables.others == variables.othersBefore"
    message: >-
      the {{ include "CHART.command" . }} sets and removes no taint but evictor.cast.ai/evicted, effect PreferNoSchedule
  - expression: "!variables.updates || !variables.cordoned || variables.cordonedBefore || variables.ours"
    message: >-
      the {{ include "CHART.command" . }} cordons a Node only together with its mark: annotation moorage.dev/drain, which calls the cordon its own
  - expression: "!variables.updates || variables.cordoned || !variables.cordonedBefore || variables.oursBefore"
    messageExpression: >-
      'the cordon of node ' + oldObject.metadata.name + ' is not marked as ours: the {{ include "CHART.command" . }} leaves it where it is'
    message: the {{ include "CHART.command" . }} takes off only cordons that its mark calls its own
  - expression: >-
      !variables.updates || !variables.ours ||
      (variables.cordoned && (variables.oursBefore || !variables.cordonedBefore))
    message: the {{ include "CHART.command" . }}'s mark calls a cordon its own only with the write that sets it, and for as long as it is there
  - expression: >-
      !variables.updates || !variables.oursBefore || !variables.cordonedBefore || !variables.cordoned || variables.ours
    message: "a cordon of the {{ include "CHART.command" . }} goes with its mark: neither is taken away alone"
{{- end -}}

{{/* What the API server itself writes, and the annotations, which have a rule of their own. */ -}}
{{- define "CHART.movingMetadata" -}}
['annotations', 'resourceVersion', 'generation', 'managedFields']
{{- end -}}

{{/* Within a text of JSON quotes are escaped, so this is found nowhere else. */ -}}
{{- define "CHART.ourCordon" -}}
'"set":\\[("taint",)?"cordon"\\]'
{{- end -}}

{{/* Evictions: which pod is meant, and its own time to end. Deletions of pods are no evictions: no budget is asked. */ -}}
{{- define "CHART.evictionFence" -}}
resourceRules:
  - {apiGroups: [""], apiVersions: [v1], resources: [pods/eviction], operations: [CREATE]}
  - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [DELETE]}
variables:
  - name: evicts
    expression: request.operation == 'CREATE'
  - name: eviction
    expression: "object != null ? dyn(object) : dyn({})"
  - name: options
    expression: "has(variables.eviction.deleteOptions) ? variables.eviction.deleteOptions : dyn({})"
validations:
  - expression: variables.evicts
    message: "the {{ include "CHART.command" . }} deletes no pods: it asks for their eviction"
  - expression: >-
      !variables.evicts || (has(variables.options.preconditions) && has(variables.options.preconditions.uid) &&
      variables.options.preconditions.uid != '')
    message: "an eviction of the {{ include "CHART.command" . }} says which pod is meant: deleteOptions.preconditions.uid"
  - expression: >-
      !variables.evicts ||
      variables.options.all(field, field in ['kind', 'apiVersion', 'preconditions', 'dryRun'])
    message: "an eviction of the {{ include "CHART.command" . }} says nothing but which pod is meant: a pod ends in its own time"
{{- end -}}
