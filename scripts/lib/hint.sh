# shellcheck shell=sh
# Sourced by need.sh if there is no apt-get.

# Prints the command that installs $missing with another package manager. The table `packages` has
# the names that differ from Debian's; `-` means that there is no such package.
need_hint() {
  for row in "dnf install:2" "pacman -S:3" "apk add:4" "brew install:5"; do
    command -v "${row%% *}" >/dev/null || continue
    names=$(printf '%s\n' "$missing" | tr ' ' '\n' | awk -v column="${row#*:}" '
      BEGIN {
        while ((getline line < ARGV[1]) > 0) { split(line, f, " "); name[f[1]] = f[column] }
        ARGV[1] = ""
      }
      { $0 = ($0 in name) ? name[$0] : $0 }
      $0 == "-" { none = " (not all: it lacks some that a Debian or an Ubuntu has)"; next }
      { printf " %s", $0 }
      END { printf "%s", none }' "${scripts:-scripts}/lib/packages")
    printf '%s%s\n' "${row%:*}" "$names"
    return
  done
  printf 'install them (these are the names of the Debian packages)\n'
}
