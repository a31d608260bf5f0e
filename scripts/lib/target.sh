# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-toolbox.sh
# Sourced where an architecture is chosen: what makes static Linux programs for $arch. Rust's libraries come with rustup or, on
# Debian, with its own compiler; musl's link by themselves, glibc's need a linker and a libc.a of that architecture.

deb_arch() {
  case $arch in aarch64) echo arm64 ;; x86_64) echo amd64 ;; esac
}

# The architecture of this machine, as the options here name it.
host_arch() {
  case $(uname -m) in arm64 | aarch64) echo aarch64 ;; *) uname -m ;; esac
}

# Whether programs for $arch are foreign to this system's compiler.
is_foreign() {
  [ "$(uname -s)" != Linux ] || [ "$arch" != "$(host_arch)" ]
}

# Sets $target and $compiler; installs what is missing where that can be done.
find_target() {
  find_installed && return
  ! command -v rustup >/dev/null || add_by_rustup
  find_installed && return
  ! is_foreign || add_by_apt
  find_installed ||
    die "Rust has no library for static Linux programs for $arch" "rustup target add $arch-unknown-linux-musl"
}

# The first target of which a compiler has the libraries: musl links statically anywhere, glibc where its libc.a is.
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

# Ours to add where rustup is: it needs no root and touches nothing but the user's toolchain.
add_by_rustup() {
  say "adding Rust's library for $arch-unknown-linux-musl (rustup)"
  limit=
  ! command -v timeout >/dev/null || limit='timeout 120' # a network that answers nothing; macOS has no such program
  $limit rustup --quiet target add "$arch-unknown-linux-musl" >/dev/null 2>&1 </dev/null ||
    say "rustup has none to give"
}

# Debian has a compiler for browsers, which is newer than the other, with libraries for every architecture of its own.
add_by_apt() {
  command -v dpkg >/dev/null || return 0
  deb_arch=$(deb_arch)
  missing="rustc-web libstd-rust-web-dev:$deb_arch"
  if ! dpkg --print-foreign-architectures | grep -qx "$deb_arch"; then
    apt-cache show rustc-web >/dev/null 2>&1 || return 0 # an Ubuntu, whose other architectures are elsewhere
    need_root_for "dpkg --add-architecture $deb_arch && apt-get update && apt-get install $missing"
    say "adding the architecture $deb_arch (dpkg)"
    $sudo dpkg --add-architecture "$deb_arch"
    need_apt_get update >/dev/null 2>&1 || true # one broken source need not be the one that matters
  fi
  need_apt
}

# Sets what cargo is told about $target, and makes sure that its linker is there.
set_linker() {
  is_foreign || return 0
  case $target in
    *-musl) linker=rust-lld ;; # comes with rustup's compiler, as musl's libc.a does with its library
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
