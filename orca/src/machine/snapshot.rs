//! Makes a template (boots a machine, settles it, freezes it) and thaws copies of it: machines that
//! continue where the template was frozen.

use super::launch::{Instance, InstanceConfig, Launcher, Placement, QEMU_LIMIT, boot_failure};
use crate::cancel::Cancel;
use crate::error::{Result as HostResult, plain};
use crate::events::trouble::Trouble;
use crate::guest::client::Guest;
use crate::host::{clock, sparse};
use crate::image::check::{self, Origin};
use crate::qemu::argv::{Memory, PROJECT_DISK_BYTES, Project, Spec};
use crate::qemu::overlay::Overlays;
use crate::qemu::qmp::Qmp;
use crate::qemu::template::{Stage, Template};
use agent::wire::Command;
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The script that is run before the freeze, so that copies need not run it: it brings the shell
/// and the usual tools into the page cache and loads the modules that tests of networks ask for.
/// What an image lacks is skipped. Writeback is not throttled: the disk is the host's memory, and
/// the timer that watches it would run in every copy.
const SETTLE: &str = "\
for m in veth bridge br_netfilter 8021q dummy tun macvlan vxlan sch_netem \
nf_tables nft_ct nft_chain_nat nft_masq nft_reject_inet \
nft_limit nft_log nf_conntrack xt_conntrack iptable_filter iptable_nat; do modprobe -q $m; done
for f in /bin/sh /bin/cat /bin/ls /bin/grep /bin/sed /bin/mount /bin/sleep \
/sbin/ip /usr/sbin/ip /usr/sbin/nft /usr/sbin/dnsmasq \
/usr/bin/curl; do [ -e $f ] && cat $f; done >/dev/null 2>&1
for f in /sys/block/*/queue/wbt_lat_usec; do echo 0 >$f; done
ip link; nft list ruleset; sh -c :; true";

/// The script that is run in a copy with the project before that is frozen in turn. It reads what
/// tests read first: their own scripts, what those source, and the names of all files.
pub(super) const WARM: &str = "\
cd /mnt/glacic && find . -xdev >/dev/null 2>&1; \
find t -xdev -type f -size -64k 2>/dev/null | head -n 2000 | tr '\\n' '\\0' | \
xargs -0 cat >/dev/null 2>&1; ls -l . t >/dev/null 2>&1; true";

/// The script that is run first if the root's own init is process 1. It waits until the init's
/// services have started or failed. An init with an inittab starts the agent after everything that
/// it waits for; systemd starts the agent early, and knows when it is done.
pub(super) const READY: &str = "\
[ ! -d /run/systemd/system ] || \
timeout 120 systemctl is-system-running --wait >/dev/null 2>&1; true";

/// Everything that is run in a machine of `spec` before the freeze.
pub(super) fn settling(spec: &Spec) -> String {
    match (spec.own_init, spec.host_root) {
        (true, _) => format!("{READY}\n{SETTLE}"),
        (false, false) => SETTLE.to_owned(),
        // There is no shell yet: a template with the host's root mounted could not be frozen.
        (false, true) => String::new(),
    }
}

/// How long an idle guest is left alone before it is frozen: what is pending then (callbacks,
/// timers of its disk, the rest of its last answer) is pending in every copy.
pub(super) const QUIET: Duration = Duration::from_millis(300);
/// The host name of a template's machine until a copy gets its own: as short as any.
const NAME_AHEAD: &str = "vm0";
/// The name of a template's machine in logs.
const NAME: &str = "template";

/// How fast a state with the memory may be written, in bytes a second: as fast as it can be.
const BANDWIDTH: u64 = 1 << 40;

/// Boots a machine of `spec` and freezes it into `stage`, ready to be published.
pub(super) fn freeze(
    launcher: &Launcher,
    spec: &Spec,
    stage: &Stage,
    cancel: &Cancel,
) -> Result<(), Trouble> {
    let host = |e: crate::error::Error| boot_failure(e.to_string());
    let mut config = InstanceConfig {
        name: NAME,
        id: 0,
        spec,
        memory: Memory::Template(stage.ram()),
        ram: None,
        disk: None,
        project: None,
        hubs: &[],
    };
    if let Some(rootfs) = &spec.rootfs {
        config.disk = Some(blank_disk(rootfs, stage).map_err(host)?);
    }
    if spec.project == Project::Disk {
        Overlays::create_empty(PROJECT_DISK_BYTES, &stage.project()).map_err(host)?;
        config.project = Some(stage.project());
    }
    let mut instance = launcher.start(config)?;
    let frozen = settle(launcher, spec, &mut instance, cancel).and_then(|_connected| {
        let state = File::create(stage.state())?;
        save(&mut instance.qmp, &state, false)
    });
    match frozen {
        Ok(()) => {
            instance.resources.wait();
            Ok(())
        }
        Err(error) => Err(instance.boot_trouble(&error, launcher.boot_limit)),
    }
}

fn blank_disk(rootfs: &Path, stage: &Stage) -> HostResult<PathBuf> {
    let format = check::disk(rootfs, Origin::Image)?.name();
    let disk = stage.disk();
    Overlays::create_at(rootfs, format, &disk)?;
    Ok(disk)
}

/// Warms the guest up and leaves it alone, connected, its agent waiting for the next request. Every
/// copy's host continues that connection: finding a host and greeting it is a tenth of what a copy
/// would otherwise have to do.
fn settle(
    launcher: &Launcher,
    spec: &Spec,
    instance: &mut Instance,
    cancel: &Cancel,
) -> io::Result<Guest> {
    let deadline = clock::now() + launcher.boot_limit;
    let mut guest = instance.greet(deadline, cancel)?;
    let settling = settling(spec);
    if !settling.is_empty() {
        // A name and an id of the usual length: every copy overwrites them with its own.
        guest.ask(launcher.resume((NAME_AHEAD, false), Placement::default(), None), deadline)?;
        guest.exec(&settling, deadline)?;
        guest.ask(Command::Settle, deadline)?;
    }
    std::thread::sleep(QUIET);
    Ok(guest)
}

/// Writes the state of the devices, and with `memory` the memory too, which is in a file of its own
/// otherwise.
fn save(qmp: &mut Qmp, file: &File, memory: bool) -> io::Result<()> {
    let deadline = Instant::now() + QEMU_LIMIT;
    qmp.execute("stop", Value::Null, deadline)?;
    if memory {
        // The default is that of a network: 110 MB would take a second.
        let parameters = json!({ "max-bandwidth": BANDWIDTH });
        qmp.execute("migrate-set-parameters", parameters, deadline)?;
    }
    migrate(qmp, "migrate", file, memory, deadline)?;
    qmp.execute("quit", Value::Null, deadline).map(|_| ())
}

/// Freezes a machine as it runs, for copies in this run. `below` are the disks that its own stand
/// on. If its memory has no file of its own, that becomes part of the state, which costs a third of
/// a second here and in each copy. QEMU has ended afterwards.
///
/// # Errors
/// QEMU's reason, or no room for the state.
pub(super) fn freeze_running(
    instance: &mut Instance,
    spool: &Path,
    below: Vec<Arc<File>>,
) -> io::Result<Template> {
    let state = sparse::unnamed(spool)?;
    let has_file = instance.resources.ram.is_some();
    save(&mut instance.qmp, &state, !has_file)?;
    instance.resources.wait();
    let open = |path: &Option<PathBuf>| {
        path.as_ref().map(|path| File::open(path).map(Arc::new)).transpose()
    };
    let slot = &instance.resources.slot;
    let (disk, project) = (open(&slot.overlay)?, open(&slot.project)?);
    let ram = instance.resources.ram.take();
    Ok(Template { ram, state, disk, project, below })
}

/// Loads the state of the devices into a waiting copy, and returns the connection to its agent. The
/// copy is paused afterwards, as the template was.
pub(super) fn thaw(instance: &mut Instance, template: &Template) -> io::Result<UnixStream> {
    let deadline = Instant::now() + QEMU_LIMIT;
    // Connected before the state is loaded, because the state says that there is a host: a guest
    // that then finds no host is told so and starts over.
    let stream = instance.connect()?;
    let memory = template.ram.is_none();
    migrate(&mut instance.qmp, "migrate-incoming", &template.state()?, memory, deadline)?;
    instance.reached("state");
    Ok(stream)
}

/// Moves the state of the devices out to `file`, or in from it, with `memory` the memory too.
/// `x-ignore-shared` leaves it out. The descriptor works under QEMU's sandbox, which forbids the
/// processes of `exec:`, and with QEMU 7, which has no `file:`.
fn migrate(
    qmp: &mut Qmp,
    command: &str,
    file: &File,
    memory: bool,
    deadline: Instant,
) -> io::Result<()> {
    let set = |name: &str, state: bool| json!({ "capability": name, "state": state });
    let capabilities = [set("x-ignore-shared", !memory), set("events", true)];
    let capabilities = json!({ "capabilities": capabilities });
    qmp.execute("migrate-set-capabilities", capabilities, deadline)?;
    qmp.give_fd("state", file.as_fd(), deadline)?;
    qmp.execute(command, json!({ "uri": "fd:state" }), deadline)?;
    qmp.wait_for_migration(deadline)
}

/// The warning if a template could not be made.
pub(super) fn reason(trouble: &Trouble) -> String {
    format!("no template, so every machine is booted: {}", trouble.detail)
}

/// The warning if a template could not be used.
pub(super) fn unusable(error: &io::Error) -> String {
    format!("the template does not work, so every machine is booted: {}", plain(error))
}
