//! Makes virtual machines: copies of a template if there is one or one can be made, cold boots
//! otherwise.
//!
//! The choice is made once per shape, by the thread that needs the first machine of that shape,
//! while the others wait.

use super::group::{self, GroupPermits};
use super::interface::{Machine, Maker, Warn};
use super::launch::{Instance, InstanceConfig, Launcher, Placement, QEMU_LIMIT, boot_failure};
use super::snapshot;
use super::vm::{ConsoleVm, Vm};
use crate::cancel::Cancel;
use crate::events::trouble::{Kind, Trouble};
use crate::guest::client::Guest;
use crate::host::clock;
use crate::image::custom_kernel::KernelFiles;
use crate::qemu::argv::{self, Memory, Spec};
use crate::qemu::overlay::Overlays;
use crate::qemu::template::{self, Store, Template};
use crate::shape::{Node, Shape};
use crate::text::count::count;
use agent::wire::Command;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Makes the virtual machines of one run.
pub struct VmMaker {
    launcher: Launcher,
    made: AtomicU32,
    /// The store of templates; `None` for cold boots only.
    store: Option<Store>,
    methods: Mutex<HashMap<Shape, BootMethod>>,
    permits: GroupPermits,
}

/// How machines of one shape are booted.
#[derive(Clone)]
enum BootMethod {
    Cold,
    Copy(Arc<CopySource>),
}

/// A template, and what makes the overlays over its disk.
struct CopySource {
    template: Template,
    overlays: Option<Overlays>,
}

impl VmMaker {
    /// A maker that has made no machine yet. With a `store` it copies templates from there. At most
    /// `grouped` machines are in groups at a time, or one group alone.
    pub fn new(launcher: Launcher, store: Option<Store>, grouped: usize) -> Self {
        let (made, methods) = (AtomicU32::new(0), Mutex::default());
        Self { launcher, made, store, methods, permits: GroupPermits::new(grouped) }
    }

    /// Makes one machine of the concrete type, for callers that use it for more than a test.
    ///
    /// # Errors
    /// As [`Maker::make`].
    pub fn boot(&self, shape: Shape, cancel: &Cancel, warn: Warn<'_>) -> Result<Vm, Trouble> {
        self.boot_in(Placement::default(), shape, cancel, warn)
    }

    /// Makes one machine in its placement among the nodes of a test.
    pub(super) fn boot_in(
        &self,
        placement: Placement<'_>,
        shape: Shape,
        cancel: &Cancel,
        warn: Warn<'_>,
    ) -> Result<Vm, Trouble> {
        if let BootMethod::Copy(source) = self.method(shape, cancel, warn)? {
            match self.copy(placement, shape, &source, cancel) {
                Ok(vm) => return Ok(vm),
                Err(trouble) if trouble.kind == Kind::Killed => return Err(trouble),
                Err(trouble) => {
                    warn(snapshot::unusable(&io::Error::other(trouble.detail)));
                    self.methods().insert(shape, BootMethod::Cold);
                }
            }
        }
        self.cold(placement, shape, cancel)
    }

    /// Starts one machine whose console belongs to a person, and lets it go without waiting for its
    /// agent.
    ///
    /// # Errors
    /// [`Kind::Boot`] when QEMU does not start.
    pub fn start_console(&self) -> Result<ConsoleVm, Trouble> {
        let mut instance =
            self.start(&self.launcher.spec, Placement::default(), Memory::Anonymous, None)?;
        match instance.let_go() {
            Ok(()) => Ok(ConsoleVm::new(instance)),
            Err(error) => Err(instance.boot_trouble(&error, QEMU_LIMIT)),
        }
    }

    /// The socket where a debugger attaches to the next machine.
    pub fn gdb_socket(&self) -> Option<PathBuf> {
        let id = self.made.load(Ordering::Relaxed) + 1;
        self.launcher.slot(id, Memory::Anonymous, None).gdb
    }

    /// QEMU's command line for a cold boot of the next machine, as a person would type it.
    pub fn command_line(&self) -> String {
        let launcher = &self.launcher;
        let id = self.made.load(Ordering::Relaxed) + 1;
        let disk = launcher.run_dir.join(format!("vm{id}.qcow2"));
        let slot = launcher.slot(id, Memory::Anonymous, Some(disk));
        argv::display(&launcher.spec.program, &argv::argv(&launcher.spec, &slot))
    }

    /// Makes sure that there is a template for machines of `shape`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn prepare(&self, shape: Shape, cancel: &Cancel) -> Result<(), Trouble> {
        let reason = Mutex::new(None);
        let warn =
            |text: String| *reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        match self.method(shape, cancel, &warn)? {
            BootMethod::Copy(_) => Ok(()),
            BootMethod::Cold => {
                let reason = reason.into_inner().unwrap_or_else(PoisonError::into_inner);
                Err(boot_failure(reason.unwrap_or_default()))
            }
        }
    }

    fn cold(&self, placement: Placement<'_>, shape: Shape, cancel: &Cancel) -> Result<Vm, Trouble> {
        let mut instance = self.start(&self.spec(shape), placement, Memory::Anonymous, None)?;
        let deadline = self.boot_deadline();
        let guest = instance.greet(deadline, cancel).and_then(|mut guest| {
            // The request is made only now, so that its time is that after the boot.
            guest.ask(self.resume(&instance, placement), deadline)?;
            instance.reached("share");
            if self.launcher.spec.own_init {
                guest.exec(snapshot::READY, deadline)?;
                instance.reached("services");
            }
            Ok(guest)
        });
        self.finish(instance, guest)
    }

    fn copy(
        &self,
        placement: Placement<'_>,
        shape: Shape,
        source: &CopySource,
        cancel: &Cancel,
    ) -> Result<Vm, Trouble> {
        let memory = Memory::Copy(source.template.ram());
        let mut instance =
            self.start(&self.spec(shape), placement, memory, source.overlays.as_ref())?;
        let stream = match snapshot::thaw(&mut instance, &source.template) {
            Ok(stream) => stream,
            Err(error) => return Err(instance.boot_trouble(&error, QEMU_LIMIT)),
        };
        let resume = self.resume(&instance, placement);
        let guest = instance.wake(stream, resume, self.boot_deadline(), cancel);
        self.finish(instance, guest)
    }

    fn start(
        &self,
        spec: &Spec,
        placement: Placement<'_>,
        memory: Memory,
        overlays: Option<&Overlays>,
    ) -> Result<Instance, Trouble> {
        let id = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("vm{id}");
        let overlays = overlays.or(self.launcher.overlays.as_ref());
        let disk: Option<PathBuf> = match overlays {
            Some(overlays) => {
                let disk = overlays.create(&name);
                Some(disk.map_err(|e| boot_failure(e.to_string()))?)
            }
            None => None,
        };
        let hubs = placement.hubs;
        self.launcher.start(InstanceConfig { name: &name, id, spec, memory, disk, hubs })
    }

    fn boot_deadline(&self) -> Instant {
        clock::now() + self.launcher.boot_limit
    }

    /// The request that gives a machine its identity and mounts its share.
    fn resume(&self, instance: &Instance, placement: Placement<'_>) -> Command {
        let who = (instance.name.as_str(), instance.net);
        self.launcher.resume(who, placement, Some(self.launcher.share))
    }

    /// The machine, ready to run a test, or why it is not.
    fn finish(&self, mut instance: Instance, guest: io::Result<Guest>) -> Result<Vm, Trouble> {
        match guest {
            Ok(guest) => Ok(Vm::new(instance, guest, self.launcher.timeouts)),
            Err(error) => Err(instance.boot_trouble(&error, self.launcher.boot_limit)),
        }
    }

    fn spec(&self, shape: Shape) -> Spec {
        let Shape { memory_mib, cpus, net, kernel, wired_cards, .. } = shape;
        let mut spec = Spec { memory_mib, cpus, net, wired_cards, ..self.launcher.spec.clone() };
        if let Some(KernelFiles { kernel, initrd, modules, .. }) = self.launcher.kernels.get(kernel)
        {
            spec.kernel.clone_from(kernel);
            spec.initrd.clone_from(initrd);
            spec.modules.clone_from(modules);
        }
        spec
    }

    fn methods(&self) -> std::sync::MutexGuard<'_, HashMap<Shape, BootMethod>> {
        self.methods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds or makes the template for `shape`. The lock is held meanwhile: another thread that
    /// needs the template would only make it a second time.
    fn method(&self, shape: Shape, cancel: &Cancel, warn: Warn<'_>) -> Result<BootMethod, Trouble> {
        let Some(store) = &self.store else { return Ok(BootMethod::Cold) };
        let mut methods = self.methods();
        if let Some(method) = methods.get(&shape) {
            return Ok(method.clone());
        }
        let method = match self.copy_source(store, shape, cancel, warn) {
            Ok(source) => BootMethod::Copy(Arc::new(source)),
            Err(trouble) if trouble.kind == Kind::Killed => return Err(trouble),
            Err(trouble) => {
                warn(snapshot::reason(&trouble));
                BootMethod::Cold
            }
        };
        methods.insert(shape, method.clone());
        Ok(method)
    }

    fn copy_source(
        &self,
        store: &Store,
        shape: Shape,
        cancel: &Cancel,
        warn: Warn<'_>,
    ) -> Result<CopySource, Trouble> {
        let host = |e: crate::error::Error| boot_failure(e.to_string());
        let spec = self.spec(shape);
        let key = template::key(&spec, &snapshot::settling(&spec))
            .map_err(|e| boot_failure(crate::error::plain(&e)))?;
        let template = match store.open(&key) {
            Ok(found) => found,
            Err(why) => {
                warn(format!("made the template again: {why}"));
                None
            }
        };
        let template = match template {
            Some(template) => template,
            None => {
                let stage = store.stage(&key).map_err(host)?;
                if !stage.is_made() {
                    snapshot::freeze(&self.launcher, &spec, &stage, cancel)?;
                    stage.publish(&describe(&spec)).map_err(host)?;
                }
                let made = store.open(&key).map_err(boot_failure)?;
                made.ok_or_else(|| boot_failure("the template is gone".to_owned()))?
            }
        };
        let overlays = match template.disk() {
            Some(disk) => {
                Some(Overlays::new(&disk, "qcow2", &self.launcher.run_dir).map_err(host)?)
            }
            None => None,
        };
        Ok(CopySource { template, overlays })
    }
}

fn describe(spec: &Spec) -> String {
    let root = match &spec.rootfs {
        Some(path) => path.display().to_string(),
        None if spec.host_root => "this host's root".to_owned(),
        None => "no disk".to_owned(),
    };
    let Spec { arch, accel, memory_mib, cpus, net, wired_cards, .. } = spec;
    let card = match net {
        _ if *wired_cards > 0 => format!(", {} on wires", count(*wired_cards, "card")),
        true => ", network card".to_owned(),
        false => String::new(),
    };
    format!("{arch} {}, {memory_mib} MiB, {}{card}, {root}", accel.name(), count(*cpus, "CPU"))
}

impl Maker for VmMaker {
    fn make(
        &self,
        shape: Shape,
        cancel: &Cancel,
        warn: Warn<'_>,
    ) -> Result<Box<dyn Machine>, Trouble> {
        self.boot(shape, cancel, warn).map(|vm| Box::new(vm) as Box<dyn Machine>)
    }

    fn group(
        &self,
        shape: Shape,
        nodes: &[Node],
        cancel: &Cancel,
        warn: Warn<'_>,
    ) -> Result<Box<dyn Machine>, Trouble> {
        let permit = self.permits.take(nodes.len(), cancel)?;
        let run_dir = &self.launcher.run_dir;
        let boot = |placement: Placement<'_>, wired_cards: u32, warn: Warn<'_>| {
            self.boot_in(placement, Shape { wired_cards, ..shape }, cancel, warn)
        };
        let group = group::assemble(nodes, run_dir, permit, &boot, warn)?;
        Ok(Box::new(group))
    }
}
