# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-image.sh
# Sourced by build-image.sh: what does not depend on the agent is made once and kept, with its sums, in the user's cache folder.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/orca/image

# cached NAME CMD…: sets $entry to the folder of that name, whose files are as they were when CMD made them in it. One at a
# time: two builds may want the same thing.
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

# The first twelve digits of the sum of standard input: part of a cached thing's name, so that another input makes another.
digest() {
  sha256sum | cut -c1-12
}

# fetch URL FILE: downloads, whole or not at all.
fetch() {
  quietly "$log_file" curl --fail --silent --show-error --location --retry 2 --connect-timeout 10 --output "$2.part" "$1"
  mv "$2.part" "$2"
}
