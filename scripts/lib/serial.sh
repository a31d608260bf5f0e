# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with run-serial.sh
# Sourced by run-serial.sh: one VM, and the text protocol over its socket. The state is in $qemu and $link, both empty when there
# is no VM; $work is the folder for its files.

# How long a VM may take to say HELLO, in seconds.
boot_timeout=120

# Boots the VM and connects to it: requests go to file descriptor 3, answers come from 4.
start_vm() {
  case ${ACCEL:-tcg} in tcg) cpu=max ;; *) cpu=host ;; esac
  rm -f "$work/disk" "$work/agent" "$work/to" "$work/from"
  qemu-img create -q -f qcow2 -b "$image/rootfs.ext4" -F raw "$work/disk"
  qemu-system-x86_64 -machine "q35,accel=${ACCEL:-tcg}" -cpu "$cpu" -smp 1 -m "${MEMORY:-512M}" \
    -nodefaults -no-user-config -no-reboot -display none -serial "file:$work/console" \
    -kernel "$kernel" -initrd "$image/initramfs" \
    -append "console=ttyS0 panic=-1 oops=panic quiet root=/dev/vda rw agent_mode=true orca.share=overlay no_timer_check" \
    -drive "file=$work/disk,format=qcow2,if=none,id=root,cache=unsafe" -device virtio-blk-pci,drive=root \
    -virtfs "local,path=$(echo "$project" | sed 's/,/,,/g'),mount_tag=host_share,security_model=none,multidevs=remap,readonly=on" \
    -device virtio-serial-pci -chardev "socket,id=agent,path=$work/agent,server=on,wait=off" \
    -device virtserialport,chardev=agent,name=glacic.agent -nic none \
    </dev/null >"$work/qemu.log" 2>&1 3>&- 4>&- 5<&- &
  qemu=$!
  mkfifo "$work/to" "$work/from"
  # The socket appears when QEMU has read its arguments: socat tries until then.
  socat - "UNIX-CONNECT:$work/agent,retry=100,interval=0.1" <"$work/to" >"$work/from" 2>/dev/null 5<&- &
  link=$!
  exec 3>"$work/to" 4<"$work/from"
  answer "$boot_timeout" -e '/^HELLO AGENT_v1/q'
  if ! grep -q '^HELLO AGENT_v1' "$work/reply"; then
    tail -n 20 "$work/qemu.log" "$work/console" >&2 || true
    stop_vm
    die 'the VM does not boot' 'what QEMU and the console said is above'
  fi
}

# answer SECONDS SED-ARG…: $work/reply is what the VM says until the sed script quits, the time is over or the VM is gone. It is
# waited for in a way that lets a signal through.
answer() {
  seconds=$1
  shift
  timeout "$seconds" sed "$@" <&4 >"$work/reply" &
  wait $! || true
}

stop_vm() {
  [ -n "$qemu" ] || return 0
  exec 3>&- 4<&-
  kill "$qemu" "$link" 2>/dev/null || true
  wait "$qemu" "$link" 2>/dev/null || true
  qemu='' link=''
}

# run_test PATH: leaves its output in $work/output and the verdict in $work/verdict.
run_test() {
  [ -n "$qemu" ] || start_vm
  printf 'TEST %s\n' "$1" >&3 2>/dev/null || true # a VM that is gone answers nothing: told below
  answer "$timeout" -e '1{/^ERR /q' -e '}' -e '/^TAP_END /q'
  end=$(tail -n 1 "$work/reply")
  sed -e '1{/^TAP_START /d' -e '}' -e '$d' "$work/reply" | unescape >"$work/output"
  case $end in
    TAP_END*' exit='*)
      status=${end##* exit=}
      LC_ALL=C awk -v status="${status%% *}" -f "$scripts/lib/tap.awk" "$work/output" >"$work/verdict"
      ;;
    ERR*) printf 'FAIL (0 tests): %s\n' "${end#ERR }" >"$work/verdict" ;;
    *)
      if kill -0 "$qemu" 2>/dev/null; then why="no end within $timeout s"; else why='the VM is gone'; fi
      printf 'FAIL (0 tests): %s\n' "$why" >"$work/verdict"
      stop_vm
      ;;
  esac
}

# Takes off the backslash that keeps output apart from the protocol's own lines, and makes every line end in LF alone.
unescape() {
  LC_ALL=C tr '\000' '\001' | LC_ALL=C awk '{ sub(/^\\/, ""); sub(/\r$/, ""); gsub(/\r/, "\n"); print }'
}
