#!/bin/sh
# Builds the programs: the host's, and the guest's static agent.
#
# usage: scripts/build-toolbox.sh [--arch x86_64|aarch64] [--out DIR]
#
#   --arch ARCH   the guest's architecture (default the host's)
#   --out DIR     where the programs go (default build)
#
# Makes DIR/toolbox with the links orca, glacic-orca and prove, and DIR/toolbox-linux with the link
# agent. The agent for another architecture than the host's is DIR/ARCH/toolbox-linux. Files that
# did not change keep their date, so that nothing that depends on them is made again. Rust's
# libraries for another architecture are installed by rustup or, on Debian, as packages.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
root=${scripts%/*}
. "$scripts/need.sh"
. "$scripts/lib/target.sh"

arch=$(host_arch) out=$root/build
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --arch | --out) [ $# -ge 2 ] || die "$1 needs a value" "see $0 --help" ;;
    *) die "unknown argument \`$1\`" "see $0 --help" ;;
  esac
  case $1 in --arch) arch=$2 ;; --out) out=$2 ;; esac
  shift 2
done
check_arch

need_cargo

# place FILE PLACE: replaces PLACE by FILE in one step, if they differ.
place() {
  cmp -s "$1" "$2" && return
  cp "$1" "$2.$$"
  chmod 755 "$2.$$"
  mv "$2.$$" "$2"
  say "${2#"$out/"} is new ($(($(wc -c <"$2") / 1024)) KiB)"
}

link() {
  [ "$(readlink "$2" || true)" = "$1" ] || ln -sfn "$1" "$2"
}

find_target
set_linker
mkdir -p "$out"
out=$(cd "$out" && pwd)
guest=$out
if [ "$arch" != "$(host_arch)" ]; then
  guest=$out/$arch
  mkdir -p "$guest"
fi
cd "$root"
stamp=$guest/.toolbox.stamp
newer=$(find Cargo.toml Cargo.lock agent orca tap -newer "$stamp" 2>/dev/null || echo new)
if [ -n "$newer" ]; then
  say "building toolbox and the $target agent (cargo)"
fi
: >"$stamp.$$"
trap 'rm -f "$stamp.$$" "$out"/*."$$" "$guest"/*."$$"' EXIT
cargo build --quiet --locked --release -p orca
RUSTC="$compiler" RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
  cargo build --quiet --locked -p agent --profile agent --target "$target"
built=${CARGO_TARGET_DIR:-$root/target}
place "$built/release/toolbox" "$out/toolbox"
place "$built/$target/agent/agent" "$guest/toolbox-linux"
for name in orca glacic-orca prove; do
  link toolbox "$out/$name"
done
link toolbox-linux "$guest/agent"
mv "$stamp.$$" "$stamp"
