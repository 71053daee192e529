# shellcheck shell=bash
# The components' configuration files, for what their flags cannot say.

write_configuration() {
  local dir=$STATE/config
  cat >"$dir/containerd.toml" <<TOML
version = 2
root = "$STATE/containerd"
state = "/run/containerd"
# Everything here that is off would only look for devices, or make folders outside the node.
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/local/pause:1"
# Without CAP_SYS_RESOURCE runc may not lower a score, and no pod would start.
restrict_oom_score_adj = true
# A profile would be loaded into the machine's kernel, and stay.
disable_apparmor = true
# Not under /run/netns, where the machine's \`ip netns\` would list them.
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$STATE/config/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
TOML

  # ptp, not bridge: with every packet routed, Services between pods need no
  # bridge filtering in the kernel.
  mkdir -p "$dir/cni"
  cat >"$dir/cni/10-pods.conflist" <<JSON
{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {
      "type": "ptp",
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "$POD_CIDR"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    }
  ]
}
JSON

  # clusterDNS: no one listens there, so that lookups fail at once. With none set,
  # every pod would carry a warning; with an unserved one, lookups would hang.
  cat >"$dir/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupRoot: /$CGROUP
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $STATE/pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/kubelet-server.crt
tlsPrivateKeyFile: $STATE/pki/kubelet-server.key
clusterDomain: cluster.local
clusterDNS: ["$NODE_IP"]
podLogsDir: $STATE/logs/pods
volumePluginDir: $STATE/root/flexvolume
nodeStatusUpdateFrequency: 1s
# 100 turns the collection of images off: none could be pulled again.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
maxPods: 200
kubeAPIQPS: 500
kubeAPIBurst: 1000
eventRecordQPS: 0
YAML

  cat >"$dir/scheduler.yaml" <<YAML
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: $STATE/pki/kube-scheduler.kubeconfig, qps: 500, burst: 1000}
leaderElection: {leaderElect: false}
# A pod that found no GPU is tried again soon after one is free.
podInitialBackoffSeconds: 1
podMaxBackoffSeconds: 2
YAML

  cat >"$dir/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: $NODE
bindAddress: 0.0.0.0
clusterCIDR: $POD_CIDR
clientConnection: {kubeconfig: $STATE/pki/kube-proxy.kubeconfig}
# The machine's own connection tracking limits stay as they are.
conntrack: {maxPerCore: 0, min: 0}
YAML
}
