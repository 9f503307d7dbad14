{{/* The value podSpec: what no other value says of the pods. */}}

{{/*
Refused: what the rights, the safety and the program of the pods hang on. The sentences stand in moorage/files/podspec.py,
too.
*/}}
{{- define "CHART.validatePodSpec" -}}
{{- $account := "the chart's rights are for the account of its own value" -}}
{{- $reserved := dict
  "serviceAccountName" $account "serviceAccount" $account "automountServiceAccountToken" $account
  "terminationGracePeriodSeconds" "use the value of that name: the program is told how long it has"
  "affinity" "use the value affinity: the chart adds to it that pods keep off placeholders and nodes being emptied"
-}}
{{- range $key := keys .Values.podSpec | sortAlpha -}}
{{- with get $reserved $key -}}
{{- fail (printf "podSpec.%s: is not taken: %s" $key .) -}}
{{- end -}}
{{- end -}}
{{- $program := "use the value extraEnv or additionalEnv" -}}
{{- $reserved = dict "args" "it says which program runs" "command" "it says which program runs" "image" "use the value image" "env" $program -}}
{{- range $index, $container := .Values.podSpec.containers -}}
{{- if eq $container.name "CHART" -}}
{{- range $key := keys $container | sortAlpha -}}
{{- with get $reserved $key -}}
{{- fail (printf "podSpec.containers[%d].%s: is not taken: %s" $index $key .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Adds .with to the pod spec .onto, in place; a container of the program's name is merged into the program's. */}}
{{- define "CHART.mergePodSpec" -}}
{{- $program := first .onto.containers -}}
{{- range $container := .with.containers -}}
{{- if eq $container.name $program.name -}}
{{- include "CHART.overlay" (dict "onto" $program "with" $container) -}}
{{- else -}}
{{- $_ := set $.onto "containers" (append $.onto.containers $container) -}}
{{- end -}}
{{- end -}}
{{- include "CHART.overlay" (dict "onto" .onto "with" (omit .with "containers")) -}}
{{- end -}}

{{/* Adds .with to .onto, in place: maps are merged, lists are added to, everything else is replaced. */}}
{{- define "CHART.overlay" -}}
{{- range $key, $value := .with -}}
{{- $there := get $.onto $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $there) -}}
{{- include "CHART.overlay" (dict "onto" $there "with" $value) -}}
{{- else if and (kindIs "slice" $value) (kindIs "slice" $there) -}}
{{- $_ := set $.onto $key (concat $there $value) -}}
{{- else if kindIs "invalid" $value -}}
{{- $_ := unset $.onto $key -}}
{{- else -}}
{{- $_ := set $.onto $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
