{{/*
Values that contradict each other: refused before anything is made, with a sentence that names the keys. What one key may
be is said by values.schema.json.
*/}}
{{- define "castai-pod-pinner.validate" -}}
{{- $values := .Values -}}
{{- $castai := .Values.castai -}}
{{- include "castai-pod-pinner.validateReplicas" . -}}
{{- $keys := list -}}
{{- with $castai.apiKey }}{{ $keys = append $keys "castai.apiKey" }}{{ end -}}
{{- with $castai.apiKeySecretRef }}{{ $keys = append $keys "castai.apiKeySecretRef" }}{{ end -}}
{{- with $values.planner.apiKeySecretRef.name }}{{ $keys = append $keys "planner.apiKeySecretRef.name" }}{{ end -}}
{{- if gt (len $keys) 1 -}}
{{- fail (printf "%s are both set: the planner is shown one key; remove all but one (--reset-then-reuse-values --set %s=null removes one that an earlier release has set)" (join " and " $keys) (first $keys)) -}}
{{- end -}}
{{- $key := include "castai-pod-pinner.keySource" . | fromYaml -}}
{{- if and $key.closed (eq (include "castai-pod-pinner.isOutside" .) "true") (not $values.planner.allowClosedKey) -}}
{{- fail (printf "the key of %s was made for the closed product, and the planner at %s is outside namespace %s: it is not shown there. Put a key that was made for this planner into a Secret and name that in planner.apiKeySecretRef.name, without %s; or set planner.allowClosedKey=true" $key.closed (include "castai-pod-pinner.plannerAddress" .) .Release.Namespace $key.closed) -}}
{{- end -}}
{{- $ids := list -}}
{{- with $castai.clusterID }}{{ $ids = append $ids "castai.clusterID" }}{{ end -}}
{{- with $castai.clusterIdSecretKeyRef.name }}{{ $ids = append $ids "castai.clusterIdSecretKeyRef.name" }}{{ end -}}
{{- with $castai.clusterIdConfigMapKeyRef.name }}{{ $ids = append $ids "castai.clusterIdConfigMapKeyRef.name" }}{{ end -}}
{{- if gt (len $ids) 1 -}}
{{- fail (printf "%s are both set: a cluster has one name; remove all but one" (join " and " $ids)) -}}
{{- end -}}
{{- $address := $castai.grpcURL -}}
{{- if and $values.planner.address $address (ne $values.planner.address $address) (ne (include "castai-pod-pinner.closedAddress" $address) "true") -}}
{{- fail (printf "planner.address is %s and castai.grpcURL is %s: they mean the same; remove one" $values.planner.address $address) -}}
{{- end -}}
{{- include "castai-pod-pinner.validateWebhook" . -}}
{{- end -}}

{{- define "castai-pod-pinner.validateWebhook" -}}
{{- $port := int .Values.webhook.port -}}
{{- if and .Values.webhook.hostNetwork (eq $port 10250) -}}
{{- fail "webhook.port is 10250 and webhook.hostNetwork is true: in the network of a node that port is its kubelet's; leave webhook.port out (--reset-then-reuse-values --set webhook.port=null removes one that an earlier release has set)" -}}
{{- end -}}
{{- if and .Values.podSpec.hostNetwork (eq $port 10250) -}}
{{- fail "webhook.port: is 10250 and podSpec.hostNetwork is true: in the network of a node that port is its kubelet's; take another port, or leave it out" -}}
{{- end -}}
{{- if eq $port (int (include "castai-pod-pinner.healthPort" .)) -}}
{{- fail (printf "webhook.port is %d, where the pods answer probes and show their metrics: take another, or leave it out" $port) -}}
{{- end -}}
{{- end -}}
