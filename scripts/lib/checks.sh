# shellcheck shell=sh
# Sourced by check.sh: its steps, each a function that fails if the check does.

step_fmt() { cargo fmt --all --check; }
step_clippy() {
  cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
  cargo clippy --quiet --locked -p orca --features vm --tests -- -D warnings
}
step_unit() { cargo test --quiet --locked --workspace; }

step_shell() {
  need shellcheck shellcheck
  shellcheck -x scripts/*.sh scripts/image/*.sh .ci/run
  find t -name '*.sh' -exec shellcheck -x -P t {} +
}

step_build() {
  need qemu-system-x86_64 qemu-system-x86 qemu-img qemu-utils
  scripts/build-toolbox.sh
  case $(ldd build/toolbox-linux 2>&1) in
    *"statically linked"* | *"not a dynamic executable"*) ;;
    *) die "build/toolbox-linux is not static" ;;
  esac
  at_most 1310720 build/toolbox-linux # 1.25 MiB
  at_most 3145728 build/toolbox
}

# at_most BYTES FILE: fails if FILE is larger.
at_most() {
  size=$(wc -c <"$2")
  [ "$size" -le "$1" ] || die "$2 has $size bytes, over $1"
  say "$2: $size bytes of at most $1"
}

step_debian() {
  scripts/build-image.sh --base debian
  at_most 8388608 build/initramfs
  rm -f build/check-debian.ok
  { build/orca test --retries 1 && : >build/check-debian.ok; } | tee build/check-debian.log
  [ -e build/check-debian.ok ] # because a pipeline has the status of its last command
  ! grep -q '^SKIP' build/check-debian.log ||
    die "a suite skips on the Debian base, which has everything"
}

# Runs the legacy runner, which must agree with orca on every verdict.
step_serial() {
  [ -e build/check-debian.log ] || step_debian
  scripts/run-serial.sh | tee build/check-serial.log
  failed=$(awk '/^FAIL/ { print $2 }' build/check-serial.log)
  # Failed tests are tried once more, as orca does with --retries 1. Both runs are in the log.
  # shellcheck disable=SC2086 # a list of paths without spaces
  [ -z "$failed" ] || scripts/run-serial.sh $failed | tee -a build/check-serial.log
  awk '/^(PASS|FAIL|SKIP|FLAKY)/ { last[$3] = $1 == "FLAKY" ? "PASS" : $1 }
    END { for (path in last) print last[path], path }' build/check-debian.log |
    sort >build/check-orca.verdicts
  awk '/^(PASS|FAIL|SKIP)/ { last[$2] = $1 }
    END { for (path in last) print last[path], path }' build/check-serial.log |
    sort >build/check-serial.verdicts
  # The serial runner has one machine and skips tests that need several: nothing to compare.
  grep -rlE '^# *orca:.* nodes=' t | sed 's/^/ /; s/$/$/' >build/check-nodes
  for verdicts in build/check-orca.verdicts build/check-serial.verdicts; do
    grep -v -f build/check-nodes "$verdicts" >"$verdicts.one" && mv "$verdicts.one" "$verdicts"
  done
  ! grep '^FAIL' build/check-serial.verdicts ||
    die "the serial runner has failures that orca has not"
  diff build/check-orca.verdicts build/check-serial.verdicts ||
    die "the serial runner and orca disagree"
}

step_vm() {
  cargo test --quiet --locked -p orca --features vm --test vm --test faults --test desk_vm
  cargo test --quiet --locked -p orca --features vm --test host_faults_vm --test soak \
    --test roots_vm --test nodes --test share
  cargo test --quiet --locked -p orca --features vm --test disk_vm --test setups_vm \
    --test forks_vm --test layers_vm
}

step_alpine() {
  shared=$root/../shared/alpine/alpine-minirootfs-3.20.3-x86_64.tar.gz # where CI has it
  if [ -z "${ALPINE_MINIROOTFS:-}" ] && [ -r "$shared" ]; then
    export ALPINE_MINIROOTFS="$shared"
  fi
  mirror=${ALPINE_MIRROR:-https://dl-cdn.alpinelinux.org/alpine}
  if [ -z "${ALPINE_MINIROOTFS:-}" ] && ! curl -fsSI --max-time 20 "$mirror/" >/dev/null; then
    say "left out: $mirror cannot be reached, and ALPINE_MINIROOTFS names no archive"
    return 0
  fi
  scripts/test.sh --base alpine --retries 1
}

# Tests guests of another architecture, which are always emulated: their own image, copies of a
# template, and tests of each kind.
step_arm() {
  (arch=aarch64 && . scripts/lib/target.sh && find_target && set_linker) ||
    { say "left out: nothing can be built for aarch64 here"; return 0; }
  # Both in one command, so that one package does not remove the other.
  need qemu-system-x86_64 qemu-system-x86 qemu-system-aarch64 qemu-system-arm
  scripts/test.sh --base debian --arch aarch64 --retries 1 t/01-sanity \
    t/30-firewall/filter_test.sh t/30-firewall/iptables_test.sh t/40-network/veth_test.sh \
    t/50-security/seccomp_test.sh
  cargo test --quiet --locked -p orca --features vm --test arm --bin toolbox -- aarch64
}
