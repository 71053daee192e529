# shellcheck shell=bash
# The node: namespaces, network and cgroups of its own, as a container would have.
#
#	machine                                  node (mount + network namespace)
#	                                         kubelet, API server, pods, ...
#	curriculum0  172.30.0.1 <----veth----> eth0  172.30.0.2
#	  routes to pods and Services              pods 10.244.0.0/24, one veth each
#
# One process, the holder, does nothing but keep both namespaces. They have no
# name, so when the last process goes, whatever ended it, all mounts, interfaces
# and firewall rules of the node go with it.

# Folders whose paths Kubernetes or containerd hard-code. Inside the node each is
# a folder of the state; the machine's own stay untouched.
readonly PRIVATE_FOLDERS=(/var/lib/kubelet /var/lib/cni /var/log/containers /run/containerd)

node_up() {
  local start pid
  start=$(now_ms)
  make_cgroups
  spawn holder unshare --mount --net --propagation private -- sleep infinity
  pid=$(pid_of holder)
  until [[ $(cat "/proc/$pid/comm" 2>/dev/null) == sleep ]]; do
    alive holder || die "cannot make namespaces: see $STATE/logs/holder.log"
    sleep 0.01
  done
  mount_private_folders
  connect_network "$pid"
  say "namespaces and network" made "$start"
}

mount_private_folders() {
  local folder sysctl
  for folder in "${PRIVATE_FOLDERS[@]}"; do
    mkdir -p "$STATE/root$folder"
    # A mount needs a folder to cover; `down` removes the ones made here.
    if [[ ! -d $folder ]]; then
      echo "$folder" >>"$STATE/made-folders"
      mkdir -p "$folder"
    fi
  done
  # kubelet insists on these and would set them for the whole machine. Covered by
  # files that already say what it wants to read, they stay as they are.
  mkdir -p "$STATE/root/sysctl"
  for sysctl in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    echo "${sysctl#*=}" >"$STATE/root/sysctl/$(tr / . <<<"${sysctl%=*}")"
  done
  # shellcheck disable=SC2016 # expanded inside the node
  inside bash -euc '
    state=$1; shift
    mount --make-rshared /
    for folder; do mount --bind "$state/root$folder" "$folder"; done
    cd "$state/root/sysctl"
    for file in *; do mount --bind "$file" "/proc/sys/$(tr . / <<<"$file")"; done
  ' bash "$STATE" "${PRIVATE_FOLDERS[@]}"
}

connect_network() { # holder's pid
  ip link add "$LINK" type veth peer name eth0 netns "$1"
  ip address add "$HOST_IP/30" dev "$LINK"
  ip link set "$LINK" up
  # There is no default route: nothing in the node can leave the machine, and what
  # tries fails at once. Service addresses still need a route, since the kernel
  # looks one up before kube-proxy's rules rewrite the address of a local
  # connection; a bridge without ports swallows those that no rule rewrites.
  # shellcheck disable=SC2016 # expanded inside the node
  inside bash -euc '
    ip link set lo up
    ip address add "$1/30" dev eth0
    ip link set eth0 up
    ip link add services type bridge
    ip link set services up
    ip route add "$2" dev services src "$1"
    echo 1 >/proc/sys/net/ipv4/ip_forward
  ' bash "$NODE_IP" "$SERVICE_CIDR"
  ip route add "$POD_CIDR" via "$NODE_IP"
  ip route add "$SERVICE_CIDR" via "$NODE_IP"
}

# Ends every process of the node and removes what it left. Everything is thrown
# away, so nothing is asked to end in order.
node_down() {
  local pids deadline=$(($(now_ms) + 30000)) folder
  while mapfile -t pids < <(node_pids) && ((${#pids[@]})); do
    (($(now_ms) < deadline)) || die "these processes do not end: ${pids[*]}"
    kill -KILL "${pids[@]}" 2>/dev/null || true
    sleep 0.05
  done
  # The kernel takes a network namespace down in the background; not waiting for
  # it, the next `up` finds the name free.
  ip link delete "$LINK" 2>/dev/null || true
  remove_cgroups
  # No mount of the machine's can be in the state: they were all the node's. Should
  # one be there all the same, it is not for us to delete through it.
  if grep -qF " $STATE/" /proc/self/mountinfo; then
    die "something is mounted under $STATE: unmount it first"
  fi
  if [[ -f $STATE/made-folders ]]; then
    while read -r folder; do
      [[ ! -d $folder ]] || rmdir --ignore-fail-on-non-empty "$folder"
    done <"$STATE/made-folders"
  fi
  # The records go last: they are what an interrupted `down` is known by.
  if [[ -d $STATE ]]; then
    find "$STATE" -mindepth 1 -maxdepth 1 ! -name pids -exec rm -rf --one-file-system {} +
    rm -rf --one-file-system "$STATE"
  fi
}

# Cgroups --------------------------------------------------------------------
#
#	curriculum-e2e/system    every component, and containerd's helpers
#	curriculum-e2e/kubepods  pods, by kubelet's cgroupRoot

# The roots of the hierarchies: one with cgroup v2, one per controller with v1.
cgroup_roots() {
  local root
  if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
    echo /sys/fs/cgroup
    return
  fi
  for root in /sys/fs/cgroup/*/; do
    [[ -f $root/cgroup.procs && ! -f $root/cgroup.controllers ]] && echo "${root%/}"
  done
}

# One hierarchy is enough to know a process by; v1 has `pids` everywhere.
tracking_cgroup() {
  if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
    echo "/sys/fs/cgroup/$CGROUP"
  else
    echo "/sys/fs/cgroup/pids/$CGROUP"
  fi
}

system_cgroup() { echo "$(tracking_cgroup)/system"; }

make_cgroups() {
  local root
  for root in $(cgroup_roots); do mkdir -p "$root/$CGROUP"; done
  mkdir -p "$(system_cgroup)"
}

node_pids() {
  [[ -d $(tracking_cgroup) ]] || return 0
  find "$(tracking_cgroup)" -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

remove_cgroups() {
  local root deadline=$(($(now_ms) + 10000))
  # Where v1 has v2 beside it, runc makes groups there too, by itself.
  for root in $(cgroup_roots) /sys/fs/cgroup/unified; do
    while [[ -d $root/$CGROUP ]]; do
      # Children first; a group whose last process is not reaped yet is still busy.
      find "$root/$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null && break
      (($(now_ms) < deadline)) || die "cannot remove the cgroup $root/$CGROUP"
      sleep 0.05
    done
  done
}
