# shellcheck shell=bash
# The components: the order they start in, their commands, and their state.

readonly COMPONENTS=(
  holder etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy
  node-agent
)

cluster_up() {
  local start
  start=$(now_ms)
  own_state
  install_packages
  build_binaries
  if [[ -f $STATE/complete ]] && alive holder; then
    echo "the cluster is up; starting only what has ended"
  else
    discard_remains
    mkdir -p "$STATE"/{pids,logs,config,pki,volumes,root}
    # Sockets and volumes inside are for pods of any user; secrets guard themselves.
    chmod 0755 "$STATE"
    make_pki
    write_configuration
    node_up
    # From here on the node can be completed by another `up`.
    touch "$STATE/complete"
  fi
  start_components
  say "cluster" "up, $GPUS GPUs" "$start"
  echo "export KUBECONFIG=$ADMIN"
}

# Never delete a folder that some other program filled.
own_state() {
  [[ ! -d $STATE || -d $STATE/pids || -z $(ls -A "$STATE") ]] ||
    die "$STATE is not a cluster's state: remove it or set CURRICULUM_CLUSTER_DIR"
}

# What a killed session or an interrupted `up` left behind.
discard_remains() {
  if [[ -d $STATE ]]; then
    say "earlier state" "removing"
    node_down
  elif [[ $(node_pids) ]]; then
    die "a cluster with another state folder runs: end it with 'cluster down' first"
  fi
}

cluster_down() {
  local start
  start=$(now_ms)
  own_state
  if [[ ! -d $STATE/pids && ! -d $(tracking_cgroup) ]]; then
    echo "no cluster is up"
    return
  fi
  node_down
  say cluster "down, nothing left" "$start"
}

# Starts every component that does not run, each once what it needs is ready.
# Those that need nothing of each other start together and are waited for later.
start_components() {
  start etcd etcd_command
  start containerd containerd_command
  wait_for etcd 60 etcd answers http://127.0.0.1:2379/health
  start kube-apiserver apiserver_command
  wait_for containerd 60 containerd ctr_node version
  ctr_node images ls -q | grep -qx docker.io/local/pause:1 || load_pause
  wait_for kube-apiserver 120 kube-apiserver kubectl_admin get --raw /readyz
  start kube-controller-manager controller_manager_command
  start kube-scheduler scheduler_command
  start kubelet kubelet_command
  start kube-proxy proxy_command
  kubectl_admin apply -f "$HERE/config/storage.yaml" >/dev/null
  mkdir -p "$STATE/root/var/lib/kubelet/plugins_registry"
  start node-agent node_agent_command
  wait_for kube-scheduler 60 kube-scheduler answers https://127.0.0.1:10259/healthz
  wait_for "service accounts" 60 kube-controller-manager kubectl_admin get serviceaccount default
  wait_for "Service addresses" 60 kube-proxy answers "https://$API_IP/readyz"
  wait_for "node" 120 kubelet node_ready
  wait_for "GPUs" 60 node-agent gpus_declared
}

start() { # name command
  alive "$1" || "$2" "$1"
}

# A component that runs inside the node.
run() { # name command...
  local name=$1 pid
  shift
  pid=$(pid_of holder)
  spawn "$name" nsenter --target "$pid" --mount --net -- "$@"
}

# A short time to connect: before kube-proxy's rules are there, nothing answers a
# Service address, and waiting for it to would only take longer.
answers() { inside curl --silent --insecure --fail --connect-timeout 0.3 --max-time 2 "$1"; }

node_ready() {
  # kubelet too, since the last run's Ready stands until the controllers notice.
  answers http://127.0.0.1:10248/healthz && kubectl_admin get node "$NODE" \
    -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' | grep -qx True
}

gpus_declared() {
  [[ $(kubectl_admin get node "$NODE" -o jsonpath='{.status.allocatable.nvidia\.com/gpu}') == "$GPUS" ]]
}

load_pause() {
  local work
  work=$(mktemp -d)
  install -m 0755 "$(binary_path pause)" "$work/pause"
  pack_image docker.io/local/pause:1 "$work" /pause "$STATE/pause.tar"
  load_images "$STATE/pause.tar"
  rm -rf "$work" "$STATE/pause.tar"
}

# Commands -------------------------------------------------------------------

etcd_command() {
  # No fsync: the data need not outlive the machine.
  run "$1" "$BIN/etcd-$ETCD" --name "$NODE" --data-dir "$STATE/etcd" --unsafe-no-fsync \
    --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster "$NODE=http://127.0.0.1:2380"
}

containerd_command() {
  run "$1" containerd --config "$STATE/config/containerd.toml"
}

apiserver_command() {
  local pki=$STATE/pki
  run "$1" "$BIN/kube-apiserver-$KUBERNETES" \
    --etcd-servers http://127.0.0.1:2379 \
    --bind-address 0.0.0.0 --advertise-address "$NODE_IP" --secure-port 6443 \
    --service-cluster-ip-range "$SERVICE_CIDR" \
    --tls-cert-file "$pki/kube-apiserver.crt" --tls-private-key-file "$pki/kube-apiserver.key" \
    --client-ca-file "$pki/ca.crt" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --allow-privileged \
    --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key" \
    --kubelet-certificate-authority "$pki/ca.crt" \
    --kubelet-client-certificate "$pki/kubelet-client.crt" \
    --kubelet-client-key "$pki/kubelet-client.key" \
    --kubelet-preferred-address-types InternalIP \
    --audit-policy-file "$HERE/config/audit-policy.yaml" --audit-log-path "$AUDIT" \
    --audit-log-maxsize 1000 \
    --delete-collection-workers 8 --profiling=false
}

controller_manager_command() {
  local pki=$STATE/pki
  run "$1" "$BIN/kube-controller-manager-$KUBERNETES" \
    --kubeconfig "$pki/$1.kubeconfig" --use-service-account-credentials \
    --authentication-kubeconfig "$pki/$1.kubeconfig" \
    --authorization-kubeconfig "$pki/$1.kubeconfig" \
    --bind-address 127.0.0.1 --leader-elect=false \
    --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/sa.key" \
    --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
    --flex-volume-plugin-dir "$STATE/root/flexvolume" \
    --kube-api-qps 500 --kube-api-burst 1000 \
    --concurrent-job-syncs 20 --concurrent-namespace-syncs 20 --concurrent-gc-syncs 20
}

scheduler_command() {
  local pki=$STATE/pki
  run "$1" "$BIN/kube-scheduler-$KUBERNETES" --config "$STATE/config/scheduler.yaml" \
    --authentication-kubeconfig "$pki/$1.kubeconfig" \
    --authorization-kubeconfig "$pki/$1.kubeconfig" \
    --bind-address 127.0.0.1
}

kubelet_command() {
  # PATH as it is: kubelet calls mount, and containerd calls runc.
  run "$1" "$BIN/kubelet-$KUBERNETES" --config "$STATE/config/kubelet.yaml" \
    --kubeconfig "$STATE/pki/$1.kubeconfig" \
    --hostname-override "$NODE" --node-ip "$NODE_IP" --root-dir /var/lib/kubelet
}

proxy_command() {
  run "$1" "$BIN/kube-proxy-$KUBERNETES" --config "$STATE/config/kube-proxy.yaml"
}

node_agent_command() {
  run "$1" "$(binary_path node-agent)" --kubeconfig "$STATE/pki/node-agent.kubeconfig" \
    --volumes "$STATE/volumes" --gpus "$GPUS" \
    --gpu-socket /var/lib/kubelet/plugins_registry/gpu.sock
}

# State ----------------------------------------------------------------------

cluster_status() {
  local name pid
  [[ -f $STATE/complete ]] || die "no cluster is up (state folder: $STATE)"
  printf '%-26s %-8s %8s %9s\n' COMPONENT STATE PID MEMORY
  for name in "${COMPONENTS[@]}"; do
    if pid=$(pid_of "$name"); then
      printf '%-26s %-8s %8s %5s MiB\n' "$name" running "$pid" \
        "$(awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pid/status")"
    else
      printf '%-26s %-8s\n' "$name" ended
    fi
  done
  echo
  printf '%-12s %s\n' API "$API" kubeconfig "$ADMIN" "audit log" "$AUDIT"
  kubectl_admin get --raw /readyz >/dev/null 2>&1 || die "the API server does not answer"
  kubectl_admin get node "$NODE" -o json | jq -r '
    "node         \(.metadata.name), Kubernetes \(.status.nodeInfo.kubeletVersion), "
    + (if any(.status.conditions[]; .type == "Ready" and .status == "True") then "Ready" else "NOT READY" end)'
  kubectl_admin get pods -A -o json | jq -r --arg gpus "$(
    kubectl_admin get node "$NODE" -o jsonpath='{.status.allocatable.nvidia\.com/gpu}'
  )" '
    [.items[] | select(.spec.nodeName and (.status.phase | IN("Succeeded", "Failed") | not))] as $on
    | ([$on[].spec.containers[].resources.requests["nvidia.com/gpu"] // "0" | tonumber] | add // 0) as $used
    | "GPUs         \($gpus | if . == "" then "none declared" else . end), \($used) in use\n"
    + "pods         \($on | length) on the node, \(.items | length) in all"'
}

component_logs() { # [name [tail option...]]
  local name=${1:-}
  if [[ ! $name ]]; then
    printf '%s\n' "${COMPONENTS[@]}"
    return
  fi
  [[ -f $STATE/logs/$name.log ]] || die "no log of '$name'; there are: ${COMPONENTS[*]}"
  shift
  exec tail -n +1 "$@" "$STATE/logs/$name.log"
}
