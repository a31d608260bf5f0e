# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-image.sh
# Sourced by build-image.sh: what does not depend on the agent is made once and kept in the user's
# cache folder, with its checksums.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/orca/image

# cached NAME CMD…: sets $entry to the folder of that name. CMD fills it if it is not there or its
# files have changed. A lock lets one build in at a time, because two may want the same folder.
cached() {
  entry=$cache/$1
  shift
  mkdir -p "$cache"
  exec 8>"$cache/.lock"
  flock 8
  if [ -d "$entry" ] && [ "$refresh" = no ]; then
    if (cd "$entry" && sha256sum --check --status SHA256SUMS 2>/dev/null); then
      exec 8>&-
      return
    fi
    say "\`$entry\` is damaged: making it again"
  fi
  rm -rf "$entry" "$cache"/.new.*
  new=$cache/.new.$$
  mkdir "$new"
  (cd "$new" && "$@")
  (cd "$new" && sha256sum -- * >SHA256SUMS)
  mv "$new" "$entry"
  exec 8>&-
}

# The first twelve digits of the checksum of standard input. It is part of the name of a cached
# folder, so that another input makes another folder.
digest() {
  sha256sum | cut -c1-12
}

# fetch URL FILE: downloads the whole file, or leaves no FILE.
fetch() {
  quietly "$log_file" curl --fail --silent --show-error --location --retry 2 \
    --connect-timeout 10 --output "$2.part" "$1"
  mv "$2.part" "$2"
}
