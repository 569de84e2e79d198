{{- define "authserver.name" -}}
{{- printf "%s-authserver" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "authserver.labels" -}}
app.kubernetes.io/name: authserver
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "authserver.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- /* The pod as the restricted Pod Security Standard wants it. */ -}}
{{- define "authserver.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: secrets
    secret:
      secretName: {{ .Values.existingSecret }}
      defaultMode: 0440
  - name: state
    emptyDir: {}
  - name: tmp
    emptyDir: {}
{{- end -}}

{{- define "authserver.container" -}}
image: {{ include "authserver.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
volumeMounts:
  - name: secrets
    mountPath: /run/secrets/authserver
    readOnly: true
  - name: state
    mountPath: /var/lib/authserver
  - name: tmp
    mountPath: /tmp
{{- end -}}

{{- define "authserver.env" -}}
- name: AUTHSERVER_ISSUER
  value: {{ .Values.issuer | quote }}
- name: AUTHSERVER_DATABASE_URL_FILE
  value: /run/secrets/authserver/database-url
- name: AUTHSERVER_MASTER_KEY_FILE
  value: /run/secrets/authserver/master-key
- name: AUTHSERVER_STATE_DIRECTORY
  value: /var/lib/authserver
- name: AUTHSERVER_TRUSTED_PROXIES
  value: {{ .Values.trustedProxies | quote }}
{{- with .Values.metricsPeers }}
- name: AUTHSERVER_METRICS_PEERS
  value: {{ . | quote }}
{{- end }}
- name: AUTHSERVER_WORKERS
  value: {{ .Values.workers | quote }}
- name: AUTHSERVER_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
- name: AUTHSERVER_LOG_FORMAT
  value: json
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}
