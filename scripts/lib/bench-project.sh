#!/bin/sh
# Makes a project with 30,000 files for bench.sh, in git, and two tests that walk it.
#
# usage: scripts/lib/bench-project.sh DIR
set -eu
[ $# -eq 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1/t"
cd "$1"
awk 'BEGIN {
  for (folder = 1; folder <= 300; folder++) {
    system("mkdir -p d" folder)
    for (n = 1; n <= 100; n++) {
      file = "d" folder "/f" n
      printf "%1000s\n", "" >file # one blob in git
      close(file)
    }
  }
}'
# timed NAME CMD: a test that prints how long CMD takes, in seconds.
timed() {
  cat >"t/$1_test.sh" <<end
echo 1..1
read -r began _ </proc/uptime
$2 >/dev/null && echo ok 1
read -r ended _ </proc/uptime
awk -v from="\$began" -v to="\$ended" 'BEGIN { print "# took", to - from }'
end
}
timed find 'find .'
timed status 'git status'
git init -q
git add .
git -c user.name=bench -c user.email=bench@localhost commit -qm files
