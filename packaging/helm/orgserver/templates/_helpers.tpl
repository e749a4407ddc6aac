{{- define "orgserver.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "orgserver.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trimSuffix "-" }}
{{- else if contains (include "orgserver.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "orgserver.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "orgserver.selectorLabels" -}}
app.kubernetes.io/name: {{ include "orgserver.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "orgserver.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "orgserver.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "orgserver.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "orgserver.publicUrl" -}}
{{- trimSuffix "/" .Values.publicUrl }}
{{- end }}

{{- /* host and port, as the Host header of a request has them */ -}}
{{- define "orgserver.publicHost" -}}
{{- trimPrefix "https://" (include "orgserver.publicUrl" .) }}
{{- end }}

{{- define "orgserver.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ ternary "HTTPS" "HTTP" (not (empty .root.Values.tls.secretName)) }}
{{- end }}
