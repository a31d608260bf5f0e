//! Tests on several real machines. Built with `--features vm`; needs the image in `build/`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "kit/image.rs"]
#[expect(dead_code, reason = "not every file looks for machines")]
mod image;
#[expect(dead_code, reason = "not every file has a test for every verdict")]
mod kit;

use kit::{Project, Ran};
use std::fs;
use std::path::PathBuf;

fn orca(project: &Project, args: &[&str]) -> Ran {
    let ran = Ran::from(image::command(&image::build(), project, args).output().unwrap());
    assert_eq!(image::leftovers(project), [] as [PathBuf; 0]);
    ran
}

/// `is GOT WANT DESC`: a check that prints what it got.
const CHECKS: &str = r#"
n=0
is() {
    n=$((n + 1))
    if [ "$1" = "$2" ]; then echo "ok $n - $3"; else echo "not ok $n - $3: got $1"; fi
}
"#;

/// Everything that a pair of machines shows.
const PAIR: &str = r#"
is "$ORCA_NODE of $ORCA_NODES, $(hostname)" 'server of server client, server' 'this node'
is "$(on client sh -c 'echo $ORCA_NODE of $ORCA_NODES, $(hostname), $(id -u) in $PWD')" \
    'client of server client, client, 0 in /mnt/glacic' 'the other'
is "$(on server echo "it's me")" "it's me" 'a node is itself, too'
is "$(cat /sys/class/net/eth0/address) $(on client cat /sys/class/net/eth0/address)" \
    '52:54:00:00:01:00 52:54:00:00:02:00' 'cards'
on client sh -c 'exit 7'; is $? 7 'exit status'
on client sh -c 'kill -TERM $$'; is $? 143 'signal'
on nobody true 2>"$TMPDIR/e"; is "$? $(cat "$TMPDIR/e")" \
    '255 on: nobody: there is no such node; the others are client' 'no such node'
on client sh -c 'echo out; echo err >&2' >"$TMPDIR/o" 2>"$TMPDIR/e"
is "$(cat "$TMPDIR/o")+$(cat "$TMPDIR/e")" out+err 'outputs apart'
is "$(printf 'a\nb' | on client tr ab xy)" "$(printf 'x\ny')" 'input'
head -c 2000000 /dev/urandom >"$TMPDIR/big"
is "$(on client cat <"$TMPDIR/big" | cksum)" "$(cksum <"$TMPDIR/big")" 'much of both'
set -- 'a  b' '' '$HOME' "it's" "$(printf 'x\ny')"
is "$(on client printf '%s|' "$@")" "$(printf '%s|' "$@")" 'words stay words'
# A command whose reader does not read waits, and others go on. One whose reader leaves ends.
mkfifo "$TMPDIR/slow"
on client yes >"$TMPDIR/slow" & slow=$!
exec 3<"$TMPDIR/slow"
is "$(on client echo beside)" beside 'one that waits holds up no other'
is "$(on client yes | head -n 1)" y 'one whose reader leaves ends'
exec 3<&-
wait $slow; is $? 141 'as does the one that waited'
on client sleep 1000 & sleeper=$!
until on client pgrep -x sleep >/dev/null; do :; done
kill $sleeper; wait $sleeper 2>/dev/null
until ! on client pgrep -x sleep >/dev/null; do :; done
is "$(on client pgrep -x yes)" '' 'what is killed here ends there'
for i in 1 2 3 4 5; do on client echo "many $i" & done >"$TMPDIR/many"
wait; is "$(grep -c many "$TMPDIR/many")" 5 'several at once'
ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up
on client sh -c 'ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up'
is "$(ping -q -c 1 -W 20 192.0.2.2 | grep -c ' 0% packet loss')" 1 'over the wire'
is "$(ls /sys/class/net | grep -c eth) $(ip route show default)" '1 ' 'and nowhere else'
on client touch /root/was-here /mnt/glacic/was-here
on client sleep 1000 &
echo "1..$n"
"#;

#[test]
fn two_machines_share_a_wire_and_leave_nothing_behind() {
    let project = Project::new();
    let header = "#!/bin/sh\n# orca: nodes=server,client timeout=60s\n";
    project.test("a", &format!("{header}{CHECKS}{PAIR}"));
    // A second pair, which must be as untouched as the first, and a single machine beside them.
    let clean = "is \"$(on client sh -c 'ls /root /mnt/glacic; pgrep sleep' \
                 | grep -c 'was-here\\|[0-9]')\" 0 clean; echo 1..1";
    project.test("b", &format!("{header}{CHECKS}{clean}"));
    project.test(
        "c",
        "echo 1..1; [ ! -e /sys/class/net/eth0 ] && [ -z \"$ORCA_NODES\" ] && echo ok 1",
    );
    let ran = orca(&project, &["test", "-j2", "--log-dir", "logs"]);
    ran.exits(0).says("3 passed").never_says("not ok");
    assert!(!project.root().join("was-here").exists());
    let log = project.root().join("logs/t/a_test.sh/nodes/client.log");
    let log = fs::read(log).unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("$ 'sh' -c 'exit 7'\n") && log.contains("out\n"), "{}", log.len());
}

#[test]
fn trouble_on_one_node_ends_the_attempt_and_wires_are_separate_networks() {
    let project = Project::new();
    for (name, key) in [("panic", "c"), ("off", "b")] {
        let body = "# orca: nodes=a,b timeout=20s\n\
                    echo 1..1; on b sh -c 'echo KEY >/proc/sysrq-trigger'; sleep 1000";
        project.test(name, &body.replace("KEY", key));
    }
    let up = "for c in eth0 eth1; do ip link set $c up 2>/dev/null; done; \
              ip addr add 10.9.9.$1/24 dev $2";
    let routed = format!(
        "# orca: nodes=left:l,mid:l+r,right:r timeout=60s\n{CHECKS}
sh -c '{up}' x 1 eth0; on mid sh -c '{up}' x 2 eth0; on right sh -c '{up}' x 3 eth0
is \"$(on mid ls /sys/class/net | grep -c eth)\" 2 'two cards'
is \"$(on mid cat /sys/class/net/eth1/address)\" 52:54:00:00:02:01 'the second has its address'
is \"$(ping -q -c 1 -W 20 10.9.9.2 | grep -c ' 0% packet loss')\" 1 'one wire'
is \"$(ping -q -c 1 -W 1 10.9.9.3 | grep -c '100% packet loss')\" 1 'is not the other'
echo 1..$n"
    );
    project.test("wires", &routed);
    let ran = orca(&project, &["test", "-j2", "--retries", "0", "--log-dir", "logs"]);
    ran.exits(3).says("1 passed, 2 without a verdict").says("node `b` (vm").says("kernel panicked");
    ran.says("sysrq triggered crash").never_says("not ok");
}

#[test]
fn all_nodes_are_set_up_once_and_go_on_in_every_case() {
    let project = Project::new();
    project.file("t/setup.sh", "echo \"set up $ORCA_NODE\" >>/run/by");
    let forks = "# orca: nodes=a,b\necho 1..1; on b sh -c 'echo before >>/run/by'\n\
                 case=$(orca-fork x y)\n\
                 echo \"ok 1 - $(cat /run/by), $(on b xargs -a /run/by) $case\"";
    project.test("f", forks);
    let ran = orca(&project, &["test", "-vv"]);
    ran.exits(0).says("ok 1 - set up a, set up b before x").says("set up b before y");
}
