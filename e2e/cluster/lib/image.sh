# shellcheck shell=bash
# Images without a registry: packing one binary, and importing archives.

# Imports archives made by `buildah push ... oci-archive:` or `docker save`.
load_images() { # file...
  local file name names start
  [[ $# -gt 0 ]] || die "usage: cluster load IMAGE.tar..."
  alive containerd || die "the cluster is not up"
  for file; do
    [[ -r $file ]] || die "cannot read $file"
    start=$(now_ms)
    # By standard input, since the node may not see the machine's later mounts.
    names=$(ctr_node images import - <"$file") || die "cannot import $file"
    names=$(sed -n 's/^unpacking \([^ ]*\) .*/\1/p' <<<"$names")
    [[ $names ]] || die "$file names no image: push it as oci-archive:FILE:NAME:TAG"
    for name in $names; do
      # kubelet sees an image only once containerd's CRI part has noticed it.
      until ctr_node images ls "name==$name" | grep -q io.cri-containerd.image=managed; do
        (($(now_ms) - start < 30000)) || die "kubelet does not see $name after 30 s"
        sleep 0.05
      done
      say "$name" loaded "$start"
    done
  done
}

# Packs a folder as the only layer of an image, in Docker's archive format.
pack_image() { # name folder entrypoint file
  local work config layer
  work=$(mktemp -d)
  tar -C "$2" --owner=0 --group=0 --sort=name --mtime=@0 -cf "$work/layer.tar" .
  layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  jq -n --arg layer "sha256:$layer" --arg entrypoint "$3" --arg arch "$(dpkg_arch)" '{
    architecture: $arch, os: "linux", created: "1970-01-01T00:00:00Z",
    config: {Entrypoint: [$entrypoint], Env: ["PATH=/bin"]},
    rootfs: {type: "layers", diff_ids: [$layer]}
  }' >"$work/config.json"
  config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
  mv "$work/config.json" "$work/$config.json"
  jq -n --arg name "$1" --arg config "$config.json" \
    '[{Config: $config, RepoTags: [$name], Layers: ["layer.tar"]}]' >"$work/manifest.json"
  tar -C "$work" -cf "$4" manifest.json "$config.json" layer.tar
  rm -rf "$work"
}

# The architecture by the name that images use.
dpkg_arch() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) uname -m ;;
  esac
}
