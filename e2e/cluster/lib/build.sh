# shellcheck shell=bash
# What must be on the machine: Debian packages, and binaries built from Go modules.

readonly BINARIES=(
  etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl
  node-agent pause helm kubeconform
)
# Built only when asked for by name: nothing of the cluster needs them. cosign and registry are for releases.
readonly EXTRAS=(jobset versitygw cosign registry)

# Packages by a file each brings, so that tools installed in another way count.
packages_missing() {
  local package file
  while read -r package file; do
    command -v "$file" >/dev/null || echo "$package"
  done <<'LIST'
buildah buildah
conntrack conntrack
containerd containerd
containernetworking-plugins /usr/lib/cni/ptp
curl curl
iproute2 ip
jq jq
mmdebstrap mmdebstrap
nftables nft
openssl openssl
runc runc
util-linux nsenter
LIST
}

install_packages() {
  need_root
  local missing start
  mapfile -t missing < <(packages_missing)
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "install these with your package manager: ${missing[*]}"
  start=$(now_ms)
  # A machine that never updated its lists knows no package at all.
  apt-cache show "${missing[@]}" >/dev/null 2>&1 || apt-get update -qq
  DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
  say packages "installed ${#missing[@]}" "$start"
}

# The binary's cached name: by version, or by content for what this folder owns.
binary_path() { # name
  case $1 in
    etcd) echo "$BIN/etcd-$ETCD" ;;
    helm) echo "$BIN/helm-$HELM" ;;
    kubeconform) echo "$BIN/kubeconform-$KUBECONFORM" ;;
    versitygw) echo "$BIN/versitygw-$VERSITYGW" ;;
    cosign) echo "$BIN/cosign-$COSIGN" ;;
    registry) echo "$BIN/registry-$REGISTRY" ;;
    jobset) echo "$BIN/jobset-$(source_digest jobset)" ;;
    node-agent | pause) echo "$BIN/$1-$(source_digest node)" ;;
    *) echo "$BIN/$1-$KUBERNETES" ;;
  esac
}

source_digest() { # module
  (cd "$HERE/go/$1" && find . -type f | LC_ALL=C sort | xargs sha256sum) | sha256sum | cut -c1-12
}

build_binaries() { # [name...]
  local name
  mkdir -p "$BIN/path"
  [[ $# -gt 0 ]] || set -- "${BINARIES[@]}"
  for name; do
    case " ${BINARIES[*]} ${EXTRAS[*]} " in
      *" $name "*) build_one "$name" "$(binary_path "$name")" ;;
      *) die "no binary '$name'; there are: ${BINARIES[*]} ${EXTRAS[*]}" ;;
    esac
  done
}

# Builds into a temporary name and renames, so that a cached binary is whole.
build_one() { # name path
  local name=$1 path=$2 start module package flags='-s -w' version part
  if [[ ! -x $path ]]; then
    command -v go >/dev/null || die "Go 1.26 or later is needed to build $name"
    start=$(now_ms)
    printf '  %-26s building\n' "$name"
    case $name in
      etcd | jobset) module=$name package=. ;;
      helm)
        module=helm package=helm.sh/helm/v3/cmd/helm
        IFS=. read -ra version <<<"$KUBERNETES"
        flags+=" -X helm.sh/helm/v3/internal/version.version=v$HELM"
        # What `helm template` and `helm lint` take the cluster's version to be.
        for part in pkg/chartutil pkg/lint/rules; do
          flags+=" -X helm.sh/helm/v3/$part.k8sVersionMajor=${version[0]}"
          flags+=" -X helm.sh/helm/v3/$part.k8sVersionMinor=${version[1]}"
        done
        ;;
      kubeconform)
        module=kubeconform package=github.com/yannh/kubeconform/cmd/kubeconform
        flags+=" -X main.version=v$KUBECONFORM"
        ;;
      versitygw) module=versitygw package=github.com/versity/versitygw/cmd/versitygw ;;
      cosign)
        module=cosign package=github.com/sigstore/cosign/v3/cmd/cosign
        flags+=" -X sigs.k8s.io/release-utils/version.gitVersion=v$COSIGN"
        ;;
      registry) module=registry package=github.com/distribution/distribution/v3/cmd/registry ;;
      node-agent) module=node package=./cmd/agent ;;
      pause) module=node package=./cmd/pause ;;
      *)
        module=kubernetes package=k8s.io/kubernetes/cmd/$name
        # Without these, clients and the API server call themselves v0.0.0.
        IFS=. read -ra version <<<"$KUBERNETES"
        for part in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
          flags+=" -X $part.gitVersion=v$KUBERNETES"
          flags+=" -X $part.gitMajor=${version[0]} -X $part.gitMinor=${version[1]}"
        done
        ;;
    esac
    (
      cd "$HERE/go/$module"
      GOFLAGS='' CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false \
        -ldflags "$flags" -o "$path.new.$$" "$package"
    ) || die "building $name failed"
    mv "$path.new.$$" "$path"
    say "$name" built "$start"
  fi
  ln -sfn "../${path##*/}" "$BIN/path/$name"
}

need_built() { # name
  [[ -x $BIN/path/$1 ]] || build_binaries "$1" >&2
}
