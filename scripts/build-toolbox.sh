#!/bin/sh
# Builds the programs: the host's, and the guest's static agent.
#
# usage: scripts/build-toolbox.sh [--arch x86_64|aarch64] [--out DIR]
#
#   --arch ARCH   the guest's architecture (default x86_64)
#   --out DIR     where the programs go (default build)
#
# Makes DIR/toolbox with the links orca, glacic-orca and prove, and DIR/toolbox-linux with the link agent. Files that did not
# change keep their date, so that nothing that depends on them is made again.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
root=${scripts%/*}
. "$scripts/need.sh"

arch=x86_64 out=$root/build
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --arch | --out) [ $# -ge 2 ] || die "$1 needs a value" "see $0 --help" ;;
    *) die "unknown argument \`$1\`" "see $0 --help" ;;
  esac
  case $1 in --arch) arch=$2 ;; --out) out=$2 ;; esac
  shift 2
done
case $arch in x86_64 | aarch64) ;; *) die "unknown architecture \`$arch\`" "x86_64 or aarch64" ;; esac

[ ! -d "$HOME/.cargo/bin" ] || PATH=$PATH:$HOME/.cargo/bin
command -v cargo >/dev/null ||
  die "cargo is missing" "install Rust 1.88 or later with rustup, or your system's \`cargo\` where that is new enough"

# The first target of which the compiler has the libraries: musl links statically anywhere, glibc where its libc.a is.
static_target() {
  for target in "$arch-unknown-linux-musl" "$arch-unknown-linux-gnu"; do
    libraries=$(rustc --print target-libdir --target "$target")
    [ ! -d "$libraries" ] || { printf '%s\n' "$target"; return; }
  done
  die "Rust has no library for static Linux programs" "rustup target add $arch-unknown-linux-musl"
}

# place FILE NAME: puts FILE at $out/NAME in one step, if it differs from what is there.
place() {
  cmp -s "$1" "$out/$2" && return
  cp "$1" "$out/.$2.$$"
  chmod 755 "$out/.$2.$$"
  mv "$out/.$2.$$" "$out/$2"
  say "$2 is new ($(($(wc -c <"$out/$2") / 1024)) KiB)"
}

link() {
  [ "$(readlink "$out/$2" || true)" = "$1" ] || ln -sfn "$1" "$out/$2"
}

target=$(static_target)
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root"
stamp=$out/.toolbox.stamp
if [ -n "$(find Cargo.toml Cargo.lock agent orca tap -newer "$stamp" 2>/dev/null || echo new)" ]; then
  say "building toolbox and the $target agent (cargo)"
fi
: >"$stamp.$$"
trap 'rm -f "$stamp.$$" "$out"/.*."$$"' EXIT
cargo build --quiet --locked --release -p orca
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" cargo build --quiet --locked -p agent --profile agent --target "$target"
built=${CARGO_TARGET_DIR:-$root/target}
place "$built/release/toolbox" toolbox
place "$built/$target/agent/agent" toolbox-linux
link toolbox orca
link toolbox glacic-orca
link toolbox prove
link toolbox-linux agent
mv "$stamp.$$" "$stamp"
