//! QEMU's command line: a pure function of the machine's [`Spec`] and its [`Slot`], with one
//! function per group of arguments.

use super::arch;
use crate::arch::{Accel, Arch};
use crate::host::sys;
use crate::text::quote::shell_word;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What a machine is made of: machines with equal specs are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The emulator to run.
    pub program: PathBuf,
    /// The guest's architecture.
    pub arch: Arch,
    /// What executes the guest's instructions.
    pub accel: Accel,
    /// The kernel image.
    pub kernel: PathBuf,
    /// The initramfs, whose `/init` is the agent.
    pub initrd: PathBuf,
    /// The root disk, which is never written to; `None` leaves the guest in its initramfs.
    pub rootfs: Option<PathBuf>,
    /// Whether the guest's root is this host's own, which is never written to. The guest enters it
    /// when it is let go.
    pub host_root: bool,
    /// A disk with the kernel's modules, for a root that does not have them.
    pub modules: Option<PathBuf>,
    /// Whether the root's own init is process 1, and the agent a service of it.
    pub own_init: bool,
    /// Guest memory in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs.
    pub cpus: u32,
    /// How the guest gets its project.
    pub project: Project,
    /// Whether the guest has a network card with user-mode networking.
    pub net: bool,
    /// How many network cards are on private wires between machines: each is connected to a hub.
    pub wired_cards: u32,
    /// More words for the kernel command line.
    pub append: String,
}

/// How a guest gets its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Project {
    /// As a folder of the host, over 9p.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Whether the guest's writes reach it.
        writable: bool,
    },
    /// As a disk of its own. Every guest sees one of [`PROJECT_DISK_BYTES`], however large the file
    /// system on it is, so that one template serves all projects.
    Disk,
}

/// The size of the disk with the project, in bytes. Only what is written takes space.
pub const PROJECT_DISK_BYTES: u64 = 64 << 30;

/// The files and sockets of one machine alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The agent's socket.
    pub socket: PathBuf,
    /// The writable disk over the root disk.
    pub overlay: Option<PathBuf>,
    /// The writable disk over the project's disk.
    pub project: Option<PathBuf>,
    /// Where the guest's memory is.
    pub memory: Memory,
    /// The socket where gdb attaches.
    pub gdb: Option<PathBuf>,
    /// The socket of the hub that each wired card is connected to; a card without one is on a wire
    /// of its own.
    pub hubs: Vec<PathBuf>,
}

/// Where the guest's memory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    /// In QEMU's own memory.
    Anonymous,
    /// In a file, written through. This is how a template is made.
    Template(PathBuf),
    /// Mapped privately from a template's file; QEMU waits for the state of the devices. This is
    /// how a copy starts.
    Copy(PathBuf),
    /// In a file of its own that begins as a template's, written through; QEMU waits for the state
    /// of the devices. This is how a copy starts that is to be frozen again.
    Layer(PathBuf),
    /// In QEMU's own memory, and part of the state that QEMU waits for.
    Stream,
}

impl Memory {
    /// Whether the machine goes on where another was frozen.
    pub fn is_thawed(&self) -> bool {
        matches!(self, Self::Copy(_) | Self::Layer(_) | Self::Stream)
    }
}

/// The arguments after the program's name. The machine starts paused; QMP is on fd 0, the serial
/// console on fd 1.
pub fn argv(spec: &Spec, slot: &Slot) -> Vec<OsString> {
    let mut args = Args::default();
    machine(&mut args, spec, slot);
    boot(&mut args, spec, slot);
    disk(&mut args, spec, slot);
    modules(&mut args, spec);
    project(&mut args, slot);
    share(&mut args, spec);
    ports(&mut args, slot);
    wired_cards(&mut args, spec, slot);
    net(&mut args, spec);
    if let Some(path) = &slot.gdb {
        args.pair("-gdb", option_with_path("unix:", path, ",server=on,wait=off"));
    }
    control(&mut args);
    args.0
}

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn flag(&mut self, name: &str) {
        self.0.push(name.into());
    }

    fn pair(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }
}

/// `path` inside a QEMU option, where a comma ends the value and a doubled comma stands for one.
fn option_with_path(before: &str, path: &Path, after: &str) -> OsString {
    let mut out = before.as_bytes().to_vec();
    for &byte in path.as_os_str().as_bytes() {
        out.push(byte);
        if byte == b',' {
            out.push(byte);
        }
    }
    out.extend_from_slice(after.as_bytes());
    OsString::from_vec(out)
}

fn machine(args: &mut Args, spec: &Spec, slot: &Slot) {
    let target = arch::target(spec.arch);
    let accel = spec.accel.name();
    let backend = if slot.memory == Memory::Anonymous { "" } else { ",memory-backend=ram" };
    let (machine, cpu) = arch::machine(spec.accel, spec.arch);
    args.pair("-machine", format!("{machine},accel={accel}{backend}"));
    args.pair("-cpu", cpu);
    args.pair("-smp", spec.cpus.to_string());
    args.pair("-m", format!("{}M", spec.memory_mib));
    let object = format!("memory-backend-file,id=ram,size={}M,mem-path=", spec.memory_mib);
    match &slot.memory {
        Memory::Anonymous => {}
        // The state names the memory by its id, whatever holds it.
        Memory::Stream => {
            args.pair("-object", format!("memory-backend-ram,id=ram,size={}M", spec.memory_mib));
        }
        Memory::Template(file) | Memory::Layer(file) => {
            args.pair("-object", option_with_path(&object, file, ",share=on"));
        }
        Memory::Copy(file) => {
            args.pair("-object", option_with_path(&object, file, ",share=off"));
        }
    }
    if slot.memory.is_thawed() {
        args.pair("-incoming", "defer");
    }
    // Only what was asked for: no floppy, no VGA, no network card, no configuration of the host's.
    args.flag("-nodefaults");
    args.flag("-no-user-config");
    args.pair("-display", "none");
    args.flag("-no-reboot"); // a guest that reboots (panic=-1) ends, and orca notices its end
    // Under emulation the device is left out: it wakes the ACPI interpreter in every copy, which
    // costs more than mounting the project does. `RESUME` gives the guest the same news before
    // anything runs.
    if target.vmgenid && spec.accel.is_hardware() {
        args.pair("-device", "vmgenid,guid=auto");
    }
}

/// The kernel and the initramfs. A copy has its kernel in its memory already: without these
/// arguments it starts 10 ms sooner, and QEMU does not hold 45 MiB of files.
fn boot(args: &mut Args, spec: &Spec, slot: &Slot) {
    if slot.memory.is_thawed() {
        return;
    }
    args.pair("-kernel", &spec.kernel);
    args.pair("-initrd", &spec.initrd);
    args.pair("-append", kernel_command_line(spec));
}

/// The kernel's command line. A kernel in trouble ends the machine at once: `panic=-1` reboots, and
/// `-no-reboot` makes that an exit. A kernel that hangs can be asked why: sysrq works whatever the
/// image configures, and an NMI, which only orca sends, is a panic with a trace. Grace periods are
/// expedited: everything that enters a cgroup, or removes rules, devices or a namespace, waits for
/// one. Measured: 59 small tests a second in reused machines without, 74 with; suites of firewalls
/// and networks take 8 % less. `--append rcupdate.rcu_expedited=0` undoes it.
///
/// A hung task panics, a soft lockup does not: a task that does not run for two minutes is a dead
/// kernel, and a CPU that was not seen for twenty seconds may be a suspended host.
pub fn kernel_command_line(spec: &Spec) -> String {
    let root = match (&spec.rootfs, spec.host_root) {
        (Some(_), _) => "root=/dev/vda rw",
        (None, true) => "orca.root=host",
        (None, false) => "orca.root=tmpfs",
    };
    let init = if spec.own_init { "" } else { " agent_mode=true" };
    let mut line = format!(
        "console={} {root}{init} orca.share=later panic=-1 oops=panic quiet \
         sysctl.kernel.hung_task_panic=1 sysctl.kernel.sysrq=1 rcupdate.rcu_expedited=1",
        arch::target(spec.arch).console
    );
    // The kernel names disks in the order in which it finds them, which is their order on the
    // command line.
    let mut disks = ["vda", "vdb", "vdc"].into_iter().skip(usize::from(spec.rootfs.is_some()));
    let others = [("modules", spec.modules.is_some()), ("project", spec.project == Project::Disk)];
    for ((what, _), disk) in others.iter().filter(|(_, there)| *there).zip(&mut disks) {
        line.push_str(&format!(" orca.{what}=/dev/{disk}"));
    }
    if spec.arch == Arch::X86_64 {
        // The timer works; probing whether it does costs milliseconds under emulation. A copy's
        // clocks are set, not compared.
        line.push_str(" no_timer_check tsc=nowatchdog unknown_nmi_panic");
    }
    if !spec.accel.is_hardware() {
        // QEMU translates code per virtual address. If every process had its programs at other
        // addresses, each `sh -c :` would be translated again. Measured: 39 ms with random
        // addresses, 6.7 ms without. A test that wants them sets kernel.randomize_va_space. The
        // self-tests of a kernel's ciphers take 0.25 s of every boot here. The mitigations against
        // speculation are 3 % of the code to translate, and emulation does not speculate.
        line.push_str(" norandmaps cryptomgr.notests mitigations=off");
    }
    if !spec.append.is_empty() {
        line.push(' ');
        line.push_str(&spec.append);
    }
    line
}

fn disk(args: &mut Args, spec: &Spec, slot: &Slot) {
    if let (Some(_), Some(overlay)) = (&spec.rootfs, &slot.overlay) {
        writable_disk(args, "root", overlay);
    }
}

/// The disk with the project.
fn project(args: &mut Args, slot: &Slot) {
    if let Some(overlay) = &slot.project {
        writable_disk(args, "project", overlay);
    }
}

/// A disk that the guest may write to. It is removed with the machine, so flushing it to the host's
/// disk protects nothing.
fn writable_disk(args: &mut Args, name: &str, overlay: &Path) {
    let tail = format!(",format=qcow2,if=none,id={name},cache=unsafe,discard=unmap");
    args.pair("-drive", option_with_path("file=", overlay, &tail));
    args.pair("-device", format!("virtio-blk-pci,drive={name}"));
}

/// The disk with the kernel's modules. All machines use the same one, so it is read-only.
fn modules(args: &mut Args, spec: &Spec) {
    if let Some(path) = &spec.modules {
        let tail = ",format=raw,if=none,id=modules,readonly=on";
        args.pair("-drive", option_with_path("file=", path, tail));
        args.pair("-device", "virtio-blk-pci,drive=modules");
    }
}

fn share(args: &mut Args, spec: &Spec) {
    if spec.host_root {
        let tail = format!(
            ",mount_tag={},security_model=none,multidevs=remap,readonly=on",
            agent::wire::ROOT_TAG
        );
        args.pair("-virtfs", option_with_path("local,path=", Path::new("/"), &tail));
    }
    let Project::Folder { path, writable } = &spec.project else { return };
    let readonly = if *writable { "off" } else { "on" };
    let tail = format!(
        ",mount_tag={},security_model=none,multidevs=remap,readonly={readonly}",
        agent::wire::SHARE_TAG
    );
    args.pair("-virtfs", option_with_path("local,path=", path, &tail));
}

fn ports(args: &mut Args, slot: &Slot) {
    args.pair("-chardev", "socket,id=console,fd=1");
    args.pair("-serial", "chardev:console");
    args.pair("-device", "virtio-serial-pci");
    args.pair(
        "-chardev",
        option_with_path("socket,id=agent,path=", &slot.socket, ",server=on,wait=off"),
    );
    args.pair("-device", format!("virtserialport,chardev=agent,name={}", agent::wire::PORT_NAME));
}

/// The cards on wires. They come before a card for the host's network: the guest's `eth0` is on the
/// first wire.
fn wired_cards(args: &mut Args, spec: &Spec, slot: &Slot) {
    for number in 0..spec.wired_cards {
        let backend = match slot.hubs.get(number as usize) {
            Some(socket) => {
                let stream = format!("stream,id=wire{number},server=off,addr.type=unix,addr.path=");
                option_with_path(&stream, socket, "")
            }
            None => format!("hubport,id=wire{number},hubid={number}").into(),
        };
        args.pair("-netdev", backend);
        args.pair("-device", format!("virtio-net-pci,netdev=wire{number},romfile="));
    }
}

fn net(args: &mut Args, spec: &Spec) {
    if spec.net {
        args.pair("-netdev", "user,id=net0");
        args.pair("-device", "virtio-net-pci,netdev=net0,romfile="); // nothing boots from it
    } else {
        args.pair("-nic", "none");
    }
}

/// The monitor. It comes last: QEMU makes its sockets in this order, so an answer on QMP says that
/// all of them exist.
fn control(args: &mut Args) {
    if sys::IS_LINUX {
        // This is seccomp's work; QEMU for other systems does not know the option.
        let denied = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
        args.pair("-sandbox", denied);
    }
    args.flag("-S"); // nothing runs before every channel is connected
    args.pair("-chardev", "socket,id=qmp,fd=0");
    args.pair("-mon", "chardev=qmp,mode=control");
}

/// The command line as a person would type it, quoted for a shell.
pub fn display(program: &Path, args: &[OsString]) -> String {
    let mut words = vec![shell_word(program.as_os_str().as_bytes())];
    words.extend(args.iter().map(|arg| shell_word(arg.as_bytes())));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            program: "qemu-system-x86_64".into(),
            arch: Arch::X86_64,
            accel: Accel::Tcg,
            kernel: "/b/vmlinux".into(),
            initrd: "/b/initramfs".into(),
            rootfs: Some("/b/rootfs.ext4".into()),
            host_root: false,
            modules: None,
            own_init: false,
            memory_mib: 512,
            cpus: 1,
            project: Project::Folder { path: "/home/a,b".into(), writable: false },
            net: false,
            wired_cards: 0,
            append: String::new(),
        }
    }

    fn slot(memory: Memory) -> Slot {
        let overlay = Some("/r/vm1.qcow2".into());
        let project = None;
        Slot { socket: "/r/vm1.sock".into(), overlay, project, memory, gdb: None, hubs: Vec::new() }
    }

    #[test]
    fn a_debugger_gets_a_socket_and_nobody_else() {
        let mut slot = slot(Memory::Anonymous);
        assert!(!argv(&spec(), &slot).contains(&"-gdb".into()));
        slot.gdb = Some("/r/vm1.gdb".into());
        let args = argv(&spec(), &slot);
        assert!(args.contains(&"unix:/r/vm1.gdb,server=on,wait=off".into()), "{args:?}");
    }

    fn line(spec: &Spec, memory: Memory) -> String {
        display(&spec.program, &argv(spec, &slot(memory)))
    }

    #[test]
    fn a_comma_in_a_path_is_doubled() {
        let line = line(&spec(), Memory::Anonymous);
        assert!(line.contains("path=/home/a,,b,mount_tag=host_share"), "{line}");
    }

    #[test]
    fn the_share_is_read_only_unless_asked_and_there_is_no_network() {
        let closed = line(&spec(), Memory::Anonymous);
        assert!(closed.contains("readonly=on") && closed.contains("-nic none"), "{closed}");
        let open = line(
            &Spec {
                project: Project::Folder { path: "/p".into(), writable: true },
                net: true,
                ..spec()
            },
            Memory::Anonymous,
        );
        assert!(open.contains("readonly=off") && open.contains("-netdev user"), "{open}");
    }

    #[test]
    fn cards_are_on_wires_and_never_on_the_hosts_network() {
        let spec = Spec { wired_cards: 2, ..spec() };
        let template = line(&spec, Memory::Template("/c/ram".into()));
        assert!(template.contains("-netdev hubport,id=wire1,hubid=1"), "{template}");
        let wired = Slot { hubs: vec!["/r/a".into(), "/r/b,c".into()], ..slot(Memory::Anonymous) };
        let wired = display(&spec.program, &argv(&spec, &wired));
        let card = "addr.type=unix,addr.path=/r/b,,c -device virtio-net-pci,netdev=wire1,romfile=";
        assert!(wired.contains(card) && wired.contains("-nic none"), "{wired}");
    }

    #[test]
    fn a_template_and_its_copy_differ_in_memory_and_boot_only() {
        let template = line(&spec(), Memory::Template("/c/ram".into()));
        let copy = line(&spec(), Memory::Copy("/c/ram".into()));
        let kernel = kernel_command_line(&spec());
        let boot = format!(" -kernel /b/vmlinux -initrd /b/initramfs -append '{kernel}'");
        let same = template.replace("share=on", "share=off -incoming defer").replace(&boot, "");
        assert_eq!(same, copy);
        let layer = line(&spec(), Memory::Layer("/c/ram".into()));
        assert_eq!(copy.replace("share=off", "share=on"), layer);
        let stream = line(&spec(), Memory::Stream);
        assert!(stream.contains("-incoming defer") && stream.contains("memory-backend-ram,id=ram"));
    }

    #[test]
    fn the_project_is_the_last_disk() {
        let spec = Spec { project: Project::Disk, modules: Some("/c/m".into()), ..spec() };
        assert!(
            kernel_command_line(&spec).contains(" orca.modules=/dev/vdb orca.project=/dev/vdc")
        );
        let alone = Spec { rootfs: None, modules: None, ..spec.clone() };
        assert!(kernel_command_line(&alone).contains(" orca.project=/dev/vda"));
        let slot = Slot { project: Some("/r/p.qcow2".into()), ..slot(Memory::Anonymous) };
        let line = display(&spec.program, &argv(&spec, &slot));
        let order = ["drive=root", "drive=modules", "drive=project"].map(|disk| line.find(disk));
        assert!(order.is_sorted() && order[0].is_some(), "{line}");
        assert!(!line.contains("mount_tag=host_share"), "{line}");
    }

    #[test]
    fn other_roots_modules_and_inits_are_passed_on() {
        let usual = line(&spec(), Memory::Anonymous);
        assert!(usual.contains(" agent_mode=true ") && !usual.contains("orca.modules"), "{usual}");
        let modules = Some("/c/modules-1".into());
        let own = line(&Spec { own_init: true, modules, ..spec() }, Memory::Anonymous);
        assert!(!own.contains("agent_mode") && own.contains(" orca.modules=/dev/vdb"), "{own}");
        assert!(own.contains("file=/c/modules-1,format=raw,if=none,id=modules,readonly=on"));
        let modules = Some("/c/modules-1".into());
        let spec = Spec { rootfs: None, host_root: true, modules, ..spec() };
        let host = line(&spec, Memory::Anonymous);
        assert!(host.contains("orca.root=host") && host.contains("orca.modules=/dev/vda"));
        assert!(host.contains("local,path=/,mount_tag=host_root,security_model=none"), "{host}");
    }

    #[test]
    fn hardware_runs_the_host_cpu_and_arm_its_own_machine() {
        let kvm = line(&Spec { accel: Accel::Kvm, ..spec() }, Memory::Anonymous);
        assert!(kvm.contains("accel=kvm") && kvm.contains("-cpu host"), "{kvm}");
        assert!(
            !kvm.contains("norandmaps") && line(&spec(), Memory::Anonymous).contains("norandmaps")
        );
        let arm = line(&Spec { arch: Arch::Aarch64, ..spec() }, Memory::Anonymous);
        assert!(arm.contains("-machine virt,gic-version=3") && arm.contains("console=ttyAMA0"));
        assert!(!arm.contains("vmgenid"), "{arm}");
        let board = Spec { arch: Arch::Aarch64, accel: Accel::Kvm, ..spec() };
        let board = line(&board, Memory::Anonymous);
        assert!(board.contains("gic-version=max,accel=kvm") && board.contains("-cpu host"));
    }
}
