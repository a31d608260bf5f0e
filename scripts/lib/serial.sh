# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with run-serial.sh
# Sourced by run-serial.sh: one VM, and the text protocol over its socket. $qemu and $socat are the
# process ids of QEMU and of socat, empty when there is no VM; $work is the folder for its files.

# How long a VM may take until its agent says HELLO, in seconds.
boot_timeout=120

# Boots the VM and connects to it: requests go to file descriptor 3, answers come from 4.
start_vm() {
  case ${ACCEL:-tcg} in tcg) cpu=max ;; *) cpu=host ;; esac
  options='console=ttyS0 panic=-1 oops=panic quiet root=/dev/vda rw agent_mode=true'
  options="$options orca.share=overlay no_timer_check"
  share=path=$(echo "$project" | sed 's/,/,,/g'),mount_tag=host_share
  share=$share,security_model=none,multidevs=remap,readonly=on
  rm -f "$work/disk" "$work/agent" "$work/to" "$work/from"
  qemu-img create -q -f qcow2 -b "$image/rootfs.ext4" -F raw "$work/disk"
  qemu-system-x86_64 -machine "q35,accel=${ACCEL:-tcg}" -cpu "$cpu" -smp 1 -m "${MEMORY:-512M}" \
    -nodefaults -no-user-config -no-reboot -display none -serial "file:$work/console" \
    -kernel "$kernel" -initrd "$image/initramfs" -append "$options" \
    -drive "file=$work/disk,format=qcow2,if=none,id=root,cache=unsafe" \
    -device virtio-blk-pci,drive=root -virtfs "local,$share" \
    -device virtio-serial-pci -chardev "socket,id=agent,path=$work/agent,server=on,wait=off" \
    -device virtserialport,chardev=agent,name=glacic.agent -nic none \
    </dev/null >"$work/qemu.log" 2>&1 3>&- 4>&- 5<&- &
  qemu=$!
  mkfifo "$work/to" "$work/from"
  # The socket appears once QEMU has read its arguments: socat tries until then.
  socat - "UNIX-CONNECT:$work/agent,retry=100,interval=0.1" \
    <"$work/to" >"$work/from" 2>/dev/null 5<&- &
  socat=$!
  exec 3>"$work/to" 4<"$work/from"
  answer "$boot_timeout" -e '/^HELLO AGENT_v1/q'
  if ! grep -q '^HELLO AGENT_v1' "$work/reply"; then
    tail -n 20 "$work/qemu.log" "$work/console" >&2 || true
    stop_vm
    die 'the VM does not boot' 'what QEMU and the console said is above'
  fi
}

# answer SECONDS SED-ARG…: leaves in $work/reply what the VM says until the sed script quits, the
# time is over or the VM is gone. `wait` lets a signal through.
answer() {
  seconds=$1
  shift
  timeout "$seconds" sed "$@" <&4 >"$work/reply" &
  wait $! || true
}

stop_vm() {
  [ -n "$qemu" ] || return 0
  exec 3>&- 4<&-
  kill "$qemu" "$socat" 2>/dev/null || true
  wait "$qemu" "$socat" 2>/dev/null || true
  qemu='' socat=''
}

# run_test PATH: leaves its output in $work/output and the verdict in $work/verdict.
run_test() {
  [ -n "$qemu" ] || start_vm
  printf 'TEST %s\n' "$1" >&3 2>/dev/null || true # a VM that is gone is reported below
  answer "$timeout" -e '1{/^ERR /q' -e '}' -e '/^TAP_END /q'
  end=$(tail -n 1 "$work/reply")
  sed -e '1{/^TAP_START /d' -e '}' -e '$d' "$work/reply" | unescape >"$work/output"
  case $end in
    TAP_END*' exit='*)
      status=${end##* exit=}
      LC_ALL=C awk -v status="${status%% *}" -f "$scripts/lib/tap.awk" "$work/output" \
        >"$work/verdict"
      ;;
    ERR*) printf 'FAIL (0 tests): %s\n' "${end#ERR }" >"$work/verdict" ;;
    *)
      why='the VM is gone'
      ! kill -0 "$qemu" 2>/dev/null || why="no end within $timeout s"
      printf 'FAIL (0 tests): %s\n' "$why" >"$work/verdict"
      stop_vm
      ;;
  esac
}

# Removes the backslash that tells output from the protocol's lines, and ends every line in LF.
unescape() {
  LC_ALL=C tr '\000' '\001' |
    LC_ALL=C awk '{ sub(/^\\/, ""); sub(/\r$/, ""); gsub(/\r/, "\n"); print }'
}
