//! Makes virtual machines: copies of a template if there is one or one can be made, cold boots
//! otherwise.
//!
//! The choice is made once per shape, by the thread that needs the first machine of that shape,
//! while the others wait.

use super::base;
use super::fork::{ForkPoint, FrozenMachine};
use super::freezer::{Freezer, Keeper, setup_key};
use super::group::{self, GroupPermits};
use super::interface::{Machine, Maker, SetUp, Warn};
use super::launch::{Instance, InstanceConfig, Launcher, Placement, QEMU_LIMIT, boot_failure};
use super::layers::{BootMethod, CopySource, Disks, Layers};
use super::remote_commands::RemoteCommands;
use super::snapshot;
use super::vm::{ConsoleVm, Vm};
use crate::cancel::{Cancel, Level};
use crate::error::plain;
use crate::events::trouble::{Kind, Trouble};
use crate::guest::client::{Conversation, Guest};
use crate::host::{clock, sparse};
use crate::image::custom_kernel::KernelFiles;
use crate::qemu::argv::{Memory, Spec};
use crate::qemu::template::Store;
use crate::shape::{Node, Shape};
use agent::wire::{Command, Share};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Makes the virtual machines of one run.
pub struct VmMaker {
    launcher: Launcher,
    made: AtomicU32,
    /// Keeps frozen machines; `None` for cold boots only.
    keeper: Option<Arc<Keeper>>,
    layers: Arc<Layers>,
    permits: GroupPermits,
    /// Whether set-ups prepare machines. If not, each machine goes through them itself.
    freezes_setups: bool,
}

impl VmMaker {
    /// A maker that has made no machine yet. With a `store` it copies templates from there. At most
    /// `grouped` machines are in groups at a time, or one group alone.
    pub fn new(launcher: Launcher, store: Option<Store>, grouped: usize, freezes: bool) -> Self {
        let keeper = |store| {
            Arc::new(Keeper {
                store,
                root: launcher.root.clone(),
                project: launcher.project.as_ref().map(|disk| disk.image.path.clone()),
                project_root: launcher.project.as_ref().map(|disk| disk.root.clone()),
                run_dir: launcher.run_dir.clone(),
                spool: launcher.spool.clone(),
            })
        };
        let keeper = store.map(keeper);
        let (made, layers) = (AtomicU32::new(0), Arc::default());
        let permits = GroupPermits::new(grouped);
        Self { launcher, made, keeper, layers, permits, freezes_setups: freezes }
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
            match self.thaw_from(&source, placement, shape, Conversation::default(), cancel) {
                Ok(vm) => return Ok(vm),
                Err(trouble) if trouble.kind == Kind::Killed || self.is_above_setup(shape) => {
                    return Err(trouble);
                }
                Err(trouble) => {
                    warn(snapshot::unusable(&io::Error::other(trouble.detail)));
                    self.layers.lock().put(shape, BootMethod::Cold);
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
        let mut instance = self.start_cold(&self.launcher.spec, Placement::default())?;
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
        self.launcher.command_line(self.made.load(Ordering::Relaxed) + 1)
    }

    /// Makes sure that there is a template for machines of `shape`, and one of the project on top.
    ///
    /// # Errors
    /// Why there is none.
    pub fn prepare(&self, shape: Shape, cancel: &Cancel) -> Result<(), Trouble> {
        let reason = Mutex::new(None);
        let warn =
            |text: String| *reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        match self.method(shape, cancel, &warn)? {
            BootMethod::Copy(_) => self.warm(shape, cancel, &warn),
            BootMethod::Cold => {
                let reason = reason.into_inner().unwrap_or_else(PoisonError::into_inner);
                Err(boot_failure(reason.unwrap_or_default()))
            }
        }
    }

    fn cold(&self, placement: Placement<'_>, shape: Shape, cancel: &Cancel) -> Result<Vm, Trouble> {
        let mut instance = self.start_cold(&self.spec(shape), placement)?;
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
        self.finish(instance, guest, None)
    }

    /// Starts a copy of `source` and goes on with the conversation that its agent had.
    fn thaw_from(
        &self,
        source: &CopySource,
        placement: Placement<'_>,
        shape: Shape,
        conversation: Conversation,
        cancel: &Cancel,
    ) -> Result<Vm, Trouble> {
        let spec = self.spec(shape);
        let (id, name) = self.next();
        let host = |e: crate::error::Error| boot_failure(e.to_string());
        let ram = shape.freezes.then(|| sparse::unnamed(&self.launcher.spool)).transpose();
        let memory = ram.and_then(|ram| source.memory(ram));
        let (memory, ram) = memory.map_err(|e| {
            let spool = self.launcher.spool.display();
            boot_failure(format!("no memory for a copy in `{spool}`: {}", plain(&e)))
        })?;
        let disks = source.disks(&name, self.launcher.project.as_ref()).map_err(host)?;
        let config = InstanceConfig {
            name: &name,
            id,
            spec: &spec,
            memory,
            ram,
            disk: disks.root,
            project: disks.project,
            hubs: placement.hubs,
        };
        let mut instance = self.launcher.start(config)?;
        let stream = match snapshot::thaw(&mut instance, &source.template) {
            Ok(stream) => stream,
            Err(error) => return Err(instance.boot_trouble(&error, QEMU_LIMIT)),
        };
        let mut resume = self.resume(&instance, placement);
        if conversation.last_id > 0
            && placement.name.is_some()
            && let Command::Resume(resume) = &mut resume
        {
            resume.mac = None; // a node has kept its own, and others know it
        }
        let guest = Guest::go_on(stream, conversation, cancel.on(Level::Cut))
            .and_then(|guest| instance.wake(guest, resume, self.boot_deadline()));
        let freezer = self.freezer(source, shape);
        self.finish(instance, guest, freezer)
    }

    /// What freezes a copy of `source`; `None` if it cannot be frozen: a guest that has mounted a
    /// folder of the host.
    fn freezer(&self, source: &CopySource, shape: Shape) -> Option<Freezer> {
        let keeper = self.keeper.as_ref().filter(|_| self.is_freezable())?;
        Some(Freezer {
            below: Arc::clone(&source.template),
            shape: Shape { freezes: false, ..shape },
            layers: Arc::clone(&self.layers),
            keeper: Arc::clone(keeper),
            base: Arc::clone(&source.base),
            machine: base::describe(&self.spec(shape)),
        })
    }

    /// Whether machines of `shape` are copies of one that a set-up has prepared.
    fn is_above_setup(&self, shape: Shape) -> bool {
        shape.setup.is_some() && self.freezes_setups
    }

    fn is_freezable(&self) -> bool {
        self.launcher.share == Share::Disk && !self.launcher.spec.host_root
    }

    fn start_cold(&self, spec: &Spec, placement: Placement<'_>) -> Result<Instance, Trouble> {
        let (id, name) = self.next();
        let project = self.launcher.project.as_ref().map(|disk| &disk.overlays);
        let disks = Disks::create(self.launcher.overlays.as_ref(), project, &name)
            .map_err(|e| boot_failure(e.to_string()))?;
        self.launcher.start(InstanceConfig {
            name: &name,
            id,
            spec,
            memory: Memory::Anonymous,
            ram: None,
            disk: disks.root,
            project: disks.project,
            hubs: placement.hubs,
        })
    }

    /// The number and the name of the next machine.
    fn next(&self) -> (u32, String) {
        let id = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        (id, format!("vm{id}"))
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
    fn finish(
        &self,
        mut instance: Instance,
        guest: io::Result<Guest>,
        freezer: Option<Freezer>,
    ) -> Result<Vm, Trouble> {
        match guest {
            Ok(guest) => Ok(Vm::new(instance, guest, self.launcher.timeouts, freezer)),
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

    /// Finds or makes what machines of `shape` are copied from. The lock is held meanwhile: another
    /// thread that needs the template would only make it a second time.
    fn method(&self, shape: Shape, cancel: &Cancel, warn: Warn<'_>) -> Result<BootMethod, Trouble> {
        let Some(keeper) = &self.keeper else { return Ok(BootMethod::Cold) };
        let mut layers = self.layers.lock();
        if let Some(method) = layers.get(shape) {
            return Ok(method);
        }
        if self.is_above_setup(shape) {
            return Err(boot_failure("its set-up has not run".to_owned()));
        }
        let method = match self.copy_source(keeper, shape, cancel, warn) {
            Ok(source) => BootMethod::Copy(Arc::new(source)),
            Err(trouble) if trouble.kind == Kind::Killed => return Err(trouble),
            Err(trouble) => {
                warn(snapshot::reason(&trouble));
                BootMethod::Cold
            }
        };
        layers.put(shape, method.clone());
        Ok(method)
    }

    /// What is done in the template of a project: it is part of the key.
    fn warming(&self) -> Option<(&Path, &'static str)> {
        let disk = self.launcher.project.as_ref().filter(|_| self.is_freezable())?;
        Some((&disk.image.path, snapshot::WARM))
    }

    fn copy_source(
        &self,
        keeper: &Keeper,
        shape: Shape,
        cancel: &Cancel,
        warn: Warn<'_>,
    ) -> Result<CopySource, Trouble> {
        let spec = self.spec(shape);
        let found = base::find(&spec, keeper, self.warming(), warn)?;
        found.map_or_else(|| base::make(&self.launcher, &spec, keeper, cancel), Ok)
    }
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

    fn can_make(&self, shape: Shape) -> bool {
        !self.is_above_setup(shape) || self.layers.lock().get(shape).is_some()
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
        let boot = |placement: Placement<'_>, at: usize, warn: Warn<'_>| {
            let wired_cards = nodes[at].wires.len() as u32;
            self.boot_in(placement, Shape { wired_cards, setup: None, ..shape }, cancel, warn)
        };
        let none = RemoteCommands::default();
        let group = group::assemble(nodes, run_dir, permit, none, &boot, warn)?;
        Ok(Box::new(group))
    }

    fn thaw(&self, point: &Arc<ForkPoint>, cancel: &Cancel) -> Result<Box<dyn Machine>, Trouble> {
        let ForkPoint { paused, machines, nodes, commands } = &**point;
        let thaw = |placement: Placement<'_>, at: usize, _: Warn<'_>| match machines.get(at) {
            Some(FrozenMachine { source, conversation, shape }) => {
                self.thaw_from(source, placement, *shape, conversation.clone(), cancel)
            }
            None => Err(boot_failure("no machine was frozen".to_owned())),
        };
        if nodes.is_empty() {
            let mut vm = thaw(Placement::default(), 0, &|_| ())?;
            vm.pause(*paused);
            return Ok(Box::new(vm));
        }
        let permit = self.permits.take(nodes.len(), cancel)?;
        let (run_dir, commands) = (&self.launcher.run_dir, commands.clone());
        let group = group::assemble(nodes, run_dir, permit, commands, &thaw, &|_| ())?;
        Ok(Box::new(group.with_paused(*paused)))
    }

    fn recall(&self, shape: Shape, setup: &SetUp, warn: Warn<'_>) -> bool {
        let (Some(keeper), Some(kept)) = (&self.keeper, setup.kept) else { return false };
        let Ok(base) = base::key(&self.spec(shape)) else { return false };
        let found = keeper.store.open(&setup_key(&base, kept));
        let found = found.inspect_err(|why| warn(format!("made again: {why}")));
        let Ok(Some(template)) = found else { return false };
        let source = CopySource::new(Arc::new(template), base.into(), false, &keeper.run_dir);
        let Ok(source) = source else { return false };
        let shape = Shape { setup: Some(setup.number), ..shape };
        self.layers.lock().put(shape, BootMethod::Copy(Arc::new(source)));
        true
    }

    fn warm(&self, shape: Shape, cancel: &Cancel, warn: Warn<'_>) -> Result<(), Trouble> {
        let Some(warming) = self.warming() else { return Ok(()) };
        if let BootMethod::Copy(source) = self.method(shape, cancel, warn)?
            && !source.is_mounted
        {
            let vm = self.boot(Shape { freezes: true, ..shape }, cancel, warn)?;
            return vm.become_base(warming);
        }
        Ok(())
    }
}
