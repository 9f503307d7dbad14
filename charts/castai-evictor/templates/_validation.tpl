{{/*
Values that contradict each other: refused before anything is made, with a sentence that names the keys. What one key may be
is said by values.schema.json. The sentences stand in moorage/files/evictor.py, too.
*/}}
{{- define "castai-evictor.validate" -}}
{{- include "castai-evictor.validateReplicas" . -}}
{{- if and (not .Values.leaderElection.enabled) (gt (int (include "castai-evictor.replicas" .)) 1) -}}
{{- fail (printf "leaderElection.enabled: is false and there are %s replicas: each of them would take itself for the leader; set replicas to 1, or leave leader election on" (include "castai-evictor.replicas" .)) -}}
{{- end -}}
{{- if and (not .Values.leaderElection.enabled) (eq ((.Values.updateStrategy | default dict).type | default "RollingUpdate") "RollingUpdate") -}}
{{- fail "leaderElection.enabled: is false and updateStrategy.type is RollingUpdate: while a pod is replaced, it and the new one would each take themselves for the leader; set updateStrategy.type to Recreate, or leave leader election on" -}}
{{- end -}}
{{- end -}}
