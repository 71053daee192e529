# shellcheck shell=bash
# Messages, waiting for conditions, and the records of started processes.

die() {
  printf 'cluster: %s\n' "$*" >&2
  exit 1
}

# One finished step: what, how it went, and how long it took when a start is given.
say() { # what outcome [start]
  if [[ ${3:-} ]]; then
    printf '  %-26s %-28s %6s s\n' "$1" "$2" "$(seconds_since "$3")"
  else
    printf '  %-26s %s\n' "$1" "$2"
  fi
}

now_ms() {
  # EPOCHREALTIME has a comma or a point, by locale.
  local t=${EPOCHREALTIME//[^0-9]/}
  echo "${t%???}"
}

seconds_since() { # start, of now_ms
  local ms=$(($(now_ms) - $1))
  printf '%d.%d' $((ms / 1000)) $((ms % 1000 / 100))
}

need_root() { ((EUID == 0)) || die "must run as root: it makes namespaces, mounts and cgroups"; }

# Lets one `up` or `down` run at a time. The lock lives in the cache, since
# `down` removes the state folder.
exclusively() {
  need_root
  mkdir -p "$CACHE"
  exec {LOCK}>"$CACHE/cluster.lock"
  flock --nonblock "$LOCK" && return
  echo "waiting for another 'cluster up' or 'cluster down' to end"
  flock --timeout 900 "$LOCK" || die "another 'cluster up' or 'cluster down' still runs"
}

# Waits until a command succeeds, and says how long it took. If a component is
# named, its end ends the waiting, and its last lines say why.
wait_for() { # what seconds component command...
  local what=$1 limit=$2 component=$3 start
  shift 3
  start=$(now_ms)
  until "$@" >/dev/null 2>&1; do
    if [[ $component ]] && ! alive "$component"; then
      tail -n 20 "$STATE/logs/$component.log" >&2
      die "$component ended while waiting for: $what"
    fi
    if (($(now_ms) - start > limit * 1000)); then
      [[ $component ]] && tail -n 20 "$STATE/logs/$component.log" >&2
      die "gave up after $limit s waiting for: $what"
    fi
    sleep 0.1
  done
  say "$what" ready "$start"
}

# Processes ------------------------------------------------------------------
#
# A record is the pid and the process's start time in clock ticks since boot:
# together they name one process for good, however often pids are reused.

start_time() { # pid
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The command name may hold spaces and brackets: count fields after its end.
  stat=${stat##*) }
  # shellcheck disable=SC2086 # split into fields on purpose
  set -- $stat
  [[ $1 != Z ]] && echo "${20}"
}

record() { # name pid
  local started
  started=$(start_time "$2") || return 1
  echo "$2 $started" >"$STATE/pids/$1.new"
  mv "$STATE/pids/$1.new" "$STATE/pids/$1"
}

pid_of() { # name
  local pid started
  read -r pid started 2>/dev/null <"$STATE/pids/$1" || return 1
  [[ $(start_time "$pid") == "$started" ]] && echo "$pid"
}

alive() { pid_of "$1" >/dev/null 2>&1; }

# Starts a detached process in the node's cgroup, with its own session and log.
# Whatever it starts stays in that cgroup or below, which is how `down` finds
# every last one.
spawn() { # name command...
  local name=$1
  shift
  (
    echo "$BASHPID" >"$(system_cgroup)/cgroup.procs"
    exec {LOCK}>&-
    exec setsid -- "$@"
  ) </dev/null >>"$STATE/logs/$name.log" 2>&1 &
  record "$name" $! || die "$name ended at once: see $STATE/logs/$name.log"
}

# Runs a command in the node's mount and network namespaces. `ip netns exec`
# would remount /sys and hide the cgroups.
inside() { (become "$@"); }

# In the place of this process, so that who ends it ends the program.
become() {
  local pid
  pid=$(pid_of holder) || die "the cluster is not up"
  exec nsenter --target "$pid" --mount --net -- "$@"
}

ctr_node() { inside ctr --namespace k8s.io "$@"; }
kubectl_admin() { "$BIN/kubectl-$KUBERNETES" --kubeconfig "$ADMIN" "$@"; }
