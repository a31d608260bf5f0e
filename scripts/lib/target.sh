# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-toolbox.sh
# Sourced by scripts that have --arch: finds what builds static Linux programs for $arch. Rust's
# libraries come from rustup or, on Debian, with Debian's own compiler. Those for musl need nothing
# more; those for glibc need a linker and a libc.a of that architecture.

deb_arch() {
  case $arch in aarch64) echo arm64 ;; x86_64) echo amd64 ;; esac
}

# Dies unless $arch is an architecture that guests can have.
check_arch() {
  case $arch in
    x86_64 | aarch64) ;;
    *) die "unknown architecture \`$arch\`" "x86_64 or aarch64" ;;
  esac
}

# The architecture of this machine, as --arch names it.
host_arch() {
  case $(uname -m) in arm64 | aarch64) echo aarch64 ;; *) uname -m ;; esac
}

# Whether this system's compiler does not build programs for Linux on $arch.
is_foreign() {
  [ "$(uname -s)" != Linux ] || [ "$arch" != "$(host_arch)" ]
}

# Sets $target and $compiler; installs what is missing if it can.
find_target() {
  find_installed && return
  ! command -v rustup >/dev/null || add_by_rustup
  find_installed && return
  ! is_foreign || add_by_apt
  find_installed ||
    die "Rust has no library for static Linux programs for $arch" \
      "rustup target add $arch-unknown-linux-musl"
}

# Sets both to the first compiler and target with libraries. musl comes first because it links
# statically anywhere, and glibc only where its libc.a is.
find_installed() {
  for compiler in "$(command -v rustc)" "$HOME/.cargo/bin/rustc" /usr/bin/rustc; do
    [ -x "$compiler" ] || continue
    for target in "$arch-unknown-linux-musl" "$arch-unknown-linux-gnu"; do
      libraries=$("$compiler" --print target-libdir --target "$target" 2>/dev/null) || continue
      ! ls "$libraries"/libstd-*.rlib >/dev/null 2>&1 || return 0
    done
  done
  return 1
}

# Adds the library without asking: rustup needs no root, and changes only the user's toolchain.
add_by_rustup() {
  say "adding Rust's library for $arch-unknown-linux-musl (rustup)"
  # A network may answer nothing. macOS has no timeout(1).
  limit=
  ! command -v timeout >/dev/null || limit='timeout 120'
  $limit rustup --quiet target add "$arch-unknown-linux-musl" >/dev/null 2>&1 </dev/null ||
    say "rustup has none to give"
}

# Debian has a second compiler for building browsers. It is newer than the first, and has libraries
# for every architecture of Debian.
add_by_apt() {
  command -v dpkg >/dev/null || return 0
  deb_arch=$(deb_arch)
  missing="rustc-web libstd-rust-web-dev:$deb_arch"
  if ! dpkg --print-foreign-architectures | grep -qx "$deb_arch"; then
    # Without it this is an Ubuntu, which has its other architectures on other mirrors.
    apt-cache show rustc-web >/dev/null 2>&1 || return 0
    need_root_for "dpkg --add-architecture $deb_arch && apt-get update && apt-get install $missing"
    say "adding the architecture $deb_arch (dpkg)"
    $sudo dpkg --add-architecture "$deb_arch"
    # It may fail because of a source that does not matter here.
    need_apt_get update >/dev/null 2>&1 || true
  fi
  need_apt
}

# Exports the linker for $target to cargo, and installs it if it is missing.
set_linker() {
  is_foreign || return 0
  case $target in
    # rust-lld comes with rustup's compiler, and the libc.a of musl with its library.
    *-musl) linker=rust-lld ;;
    *)
      linker=$arch-linux-gnu-gcc
      need "$linker" "gcc-$(echo "$arch" | tr _ -)-linux-gnu"
      missing=libc6-dev-$(deb_arch)-cross
      [ -e "$("$linker" -print-file-name=libc.a)" ] || need_apt
      ;;
  esac
  name=$(echo "$target" | tr 'a-z-' 'A-Z_')
  export "CARGO_TARGET_${name}_LINKER=$linker"
}
