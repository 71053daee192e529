{{/* Name of the application: the label app.kubernetes.io/name. */}}
{{- define "curriculum-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of the objects. 58 characters leave room for suffixes such as -view. */}}
{{- define "curriculum-operator.fullname" -}}
{{- $name := include "curriculum-operator.name" . }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $full | trunc 58 | trimSuffix "-" }}
{{- end }}

{{- define "curriculum-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "curriculum-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "curriculum-operator.labels" -}}
{{ include "curriculum-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "curriculum-operator.serviceAccountName" -}}
{{- $default := .Values.serviceAccount.create | ternary (include "curriculum-operator.fullname" .) "default" }}
{{- .Values.serviceAccount.name | default $default }}
{{- end }}

{{- define "curriculum-operator.image" -}}
{{- with .Values.image -}}
{{- not (empty .digest) | ternary (printf "%s@%s" .repository .digest) (printf "%s:%s" .repository (.tag | default $.Chart.AppVersion)) }}
{{- end }}
{{- end }}
