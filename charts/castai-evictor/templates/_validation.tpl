{{/*
Values that this version cannot do, or that contradict each other: refused before anything is made, with a sentence that
names the keys. What one key may be is said by values.schema.json. The sentences stand in moorage/files/evictor.py, too.
*/}}
{{- define "castai-evictor.validate" -}}
{{- include "castai-evictor.validateReplicas" . -}}
{{- if not .Values.dryRun -}}
{{- fail "dryRun: false is refused, because this version does not evict yet: it reports which nodes could go and what holds the others. Leave dryRun out, or set it to true. A false that an earlier release has set comes along by itself, and with --reuse-values the closed chart's default, too: --reset-then-reuse-values --set dryRun=true changes it" -}}
{{- end -}}
{{- if and (not .Values.leaderElection.enabled) (gt (int (include "castai-evictor.replicas" .)) 1) -}}
{{- fail (printf "leaderElection.enabled: is false and there are %s replicas: each of them would take itself for the leader; set replicas to 1, or leave leader election on" (include "castai-evictor.replicas" .)) -}}
{{- end -}}
{{- end -}}
