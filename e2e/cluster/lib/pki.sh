# shellcheck shell=bash
# Certificates and kubeconfigs: one authority for everything, made anew with the
# state folder. Elliptic keys, since they are made in milliseconds.

make_pki() {
  local dir=$STATE/pki start
  start=$(now_ms)
  mkdir -p "$dir"
  chmod 0700 "$dir"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -sha256 \
    -subj /CN=curriculum-e2e -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature \
    -keyout "$dir/ca.key" -out "$dir/ca.crt" 2>/dev/null

  certificate kube-apiserver /CN=kube-apiserver \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$API_IP,IP:$NODE_IP"
  certificate kubelet-server "/O=system:nodes/CN=system:node:$NODE" "DNS:$NODE,IP:$NODE_IP"
  certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
  # The two halves of the key that signs and verifies service-account tokens.
  openssl ecparam -genkey -name prime256v1 -noout -out "$dir/sa.key"
  openssl ec -in "$dir/sa.key" -pubout -out "$dir/sa.pub" 2>/dev/null

  kubeconfig_for admin /O=system:masters/CN=admin "$ADMIN"
  kubeconfig_for kube-controller-manager /CN=system:kube-controller-manager
  kubeconfig_for kube-scheduler /CN=system:kube-scheduler
  kubeconfig_for kube-proxy /CN=system:kube-proxy
  kubeconfig_for kubelet "/O=system:nodes/CN=system:node:$NODE"
  kubeconfig_for node-agent /CN=curriculum:node-agent
  say certificates made "$start"
}

certificate() { # name subject [alternative names]
  local dir=$STATE/pki extensions
  extensions=$'keyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth'
  [[ ${3:-} ]] && extensions+=$'\nsubjectAltName='$3
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" \
    -keyout "$dir/$1.key" -out "$dir/$1.csr" 2>/dev/null
  openssl x509 -req -in "$dir/$1.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial \
    -days 365 -sha256 -extfile <(echo "$extensions") -out "$dir/$1.crt" 2>/dev/null
  rm "$dir/$1.csr"
}

kubeconfig_for() { # name subject [file]
  local dir=$STATE/pki file=${3:-$STATE/pki/$1.kubeconfig}
  certificate "$1" "$2"
  (
    umask 077
    cat >"$file" <<YAML
apiVersion: v1
kind: Config
current-context: curriculum-e2e
contexts: [{name: curriculum-e2e, context: {cluster: curriculum-e2e, user: $1}}]
clusters:
  - name: curriculum-e2e
    cluster:
      server: $API
      certificate-authority-data: $(base64 -w0 "$dir/ca.crt")
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 "$dir/$1.crt")
      client-key-data: $(base64 -w0 "$dir/$1.key")
YAML
  )
}
