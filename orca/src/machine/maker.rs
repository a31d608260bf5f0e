//! Makes virtual machines: copies of a template where there is one or one can be made, cold boots otherwise.
//!
//! Which of the two is decided once per shape, by whoever needs the first machine of it; the others wait for that.

use super::group::{self, Berths};
use super::launch::{Instance, Launched, Launcher, Place, QEMU_LIMIT};
use super::vm::{OnConsole, Vm};
use super::{Machine, Maker, Tell, snapshot};
use crate::cancel::Cancel;
use crate::events::trouble::{Kind, Trouble};
use crate::guest::client::Guest;
use crate::host::clock;
use crate::image::custom_kernel::Boot;
use crate::qemu::argv::{self, Memory, Spec};
use crate::qemu::overlay::Overlays;
use crate::qemu::template::{self, Store, Template};
use crate::shape::{Node, Shape};
use agent::wire::Command;
use serde_json::Value;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// See the module.
pub struct VmMaker {
    blueprint: Launcher,
    made: AtomicU32,
    /// Where templates are kept; `None` for cold boots only.
    store: Option<Store>,
    sources: Mutex<HashMap<Shape, Source>>,
    berths: Berths,
}

/// Where machines of one shape come from.
#[derive(Clone)]
enum Source {
    Cold,
    Copies(Arc<Frozen>),
}

/// A template, with what makes disks over its disk.
struct Frozen {
    template: Template,
    overlays: Option<Overlays>,
}

impl VmMaker {
    /// A maker that has made none yet; with a `store` it copies templates from there. Groups of machines are made while there are
    /// no more than `grouped` machines in groups, or one group alone.
    pub fn new(blueprint: Launcher, store: Option<Store>, grouped: usize) -> Self {
        let (made, sources) = (AtomicU32::new(0), Mutex::default());
        Self { blueprint, made, store, sources, berths: Berths::new(grouped) }
    }

    /// Makes one machine; the concrete type, for those who want more than a test from it.
    ///
    /// # Errors
    /// As [`Maker::make`].
    pub fn boot(&self, shape: Shape, cancel: &Cancel, tell: Tell<'_>) -> Result<Vm, Trouble> {
        self.boot_in(Place::default(), shape, cancel, tell)
    }

    /// The same in its place among others.
    pub(super) fn boot_in(
        &self,
        place: Place<'_>,
        shape: Shape,
        cancel: &Cancel,
        tell: Tell<'_>,
    ) -> Result<Vm, Trouble> {
        if let Source::Copies(frozen) = self.source(shape, cancel, tell)? {
            match self.copy(place, shape, &frozen, cancel) {
                Ok(vm) => return Ok(vm),
                Err(trouble) if trouble.kind == Kind::Killed => return Err(trouble),
                Err(trouble) => {
                    tell(snapshot::unusable(&io::Error::other(trouble.detail)));
                    self.sources().insert(shape, Source::Cold);
                }
            }
        }
        self.cold(place, shape, cancel)
    }

    /// Starts one machine whose console is a person's, and lets it go without waiting for its agent.
    ///
    /// # Errors
    /// [`Kind::Boot`] when QEMU does not start.
    pub fn start_console(&self) -> Result<OnConsole, Trouble> {
        let mut started =
            self.start(&self.blueprint.spec, Place::default(), Memory::Anonymous, None)?;
        match started.qmp.execute("cont", Value::Null, Instant::now() + QEMU_LIMIT) {
            Ok(_) => Ok(OnConsole::new(started)),
            Err(error) => Err(started.boot_trouble(&error, QEMU_LIMIT)),
        }
    }

    /// Where a debugger attaches to the next machine.
    pub fn gdb_socket(&self) -> Option<PathBuf> {
        let id = self.made.load(Ordering::Relaxed) + 1;
        self.blueprint.slot(id, Memory::Anonymous, None).gdb
    }

    /// QEMU's command line for a cold boot of the next machine, as a person would type it.
    pub fn command_line(&self) -> String {
        let blueprint = &self.blueprint;
        let id = self.made.load(Ordering::Relaxed) + 1;
        let disk = blueprint.run_dir.join(format!("vm{id}.qcow2"));
        let slot = blueprint.slot(id, Memory::Anonymous, Some(disk));
        argv::display(&blueprint.spec.program, &argv::argv(&blueprint.spec, &slot))
    }

    /// Makes sure that there is a template for machines of `shape`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn prepare(&self, shape: Shape, cancel: &Cancel) -> Result<(), Trouble> {
        let told = Mutex::new(None);
        let tell = |text: String| *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        match self.source(shape, cancel, &tell)? {
            Source::Copies(_) => Ok(()),
            Source::Cold => {
                let why = told.into_inner().unwrap_or_else(PoisonError::into_inner);
                Err(super::launch::boot(why.unwrap_or_default()))
            }
        }
    }

    fn cold(&self, place: Place<'_>, shape: Shape, cancel: &Cancel) -> Result<Vm, Trouble> {
        let overlays = self.blueprint.overlays.as_ref();
        let mut started = self.start(&self.spec(shape), place, Memory::Anonymous, overlays)?;
        let deadline = self.boot_deadline();
        let guest = started.greet(deadline, cancel).and_then(|mut guest| {
            guest.ask(self.resume(&started, place), deadline)?; // with the time of now, not of before the boot
            started.reached("share");
            if self.blueprint.spec.own_init {
                guest.exec(snapshot::READY, deadline)?;
                started.reached("services");
            }
            Ok(guest)
        });
        self.finish(started, guest)
    }

    fn copy(
        &self,
        place: Place<'_>,
        shape: Shape,
        frozen: &Frozen,
        cancel: &Cancel,
    ) -> Result<Vm, Trouble> {
        let memory = Memory::Copy(frozen.template.ram());
        let mut started = self.start(&self.spec(shape), place, memory, frozen.overlays.as_ref())?;
        let link = match snapshot::thaw(&mut started, &frozen.template) {
            Ok(link) => link,
            Err(error) => return Err(started.boot_trouble(&error, QEMU_LIMIT)),
        };
        let resume = self.resume(&started, place);
        let guest = started.wake(link, resume, self.boot_deadline(), cancel);
        self.finish(started, guest)
    }

    fn start(
        &self,
        spec: &Spec,
        place: Place<'_>,
        memory: Memory,
        overlays: Option<&Overlays>,
    ) -> Result<Launched, Trouble> {
        let id = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("vm{id}");
        let overlays = overlays.or(self.blueprint.overlays.as_ref());
        let disk: Option<PathBuf> = match overlays {
            Some(overlays) => {
                let disk = overlays.create(&name);
                Some(disk.map_err(|e| super::launch::boot(e.to_string()))?)
            }
            None => None,
        };
        let wires = place.wires;
        self.blueprint.start(Instance { name: &name, id, spec, memory, disk, wires })
    }

    fn boot_deadline(&self) -> Instant {
        clock::now() + self.blueprint.boot_limit
    }

    /// What makes a machine an individual, with its share mounted.
    fn resume(&self, started: &Launched, place: Place<'_>) -> Command {
        let who = (started.name.as_str(), started.net);
        self.blueprint.resume(who, place, Some(self.blueprint.share))
    }

    /// A machine that can run a test, or why it cannot.
    fn finish(&self, mut started: Launched, guest: io::Result<Guest>) -> Result<Vm, Trouble> {
        match guest {
            Ok(guest) => Ok(Vm::new(started, guest, self.blueprint.bounds)),
            Err(error) => Err(started.boot_trouble(&error, self.blueprint.boot_limit)),
        }
    }

    fn spec(&self, shape: Shape) -> Spec {
        let Shape { memory_mib, cpus, net, kernel, wires } = shape;
        let mut spec = Spec { memory_mib, cpus, net, wires, ..self.blueprint.spec.clone() };
        if let Some(Boot { kernel, initrd, modules, .. }) = self.blueprint.kernels.get(kernel) {
            spec.kernel.clone_from(kernel);
            spec.initrd.clone_from(initrd);
            spec.modules.clone_from(modules);
        }
        spec
    }

    fn sources(&self) -> std::sync::MutexGuard<'_, HashMap<Shape, Source>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds or makes the template for `shape`. The lock is held meanwhile: whoever else wants one would only make it twice.
    fn source(&self, shape: Shape, cancel: &Cancel, tell: Tell<'_>) -> Result<Source, Trouble> {
        let Some(store) = &self.store else { return Ok(Source::Cold) };
        let mut sources = self.sources();
        if let Some(source) = sources.get(&shape) {
            return Ok(source.clone());
        }
        let source = match self.frozen(store, shape, cancel, tell) {
            Ok(frozen) => Source::Copies(Arc::new(frozen)),
            Err(trouble) if trouble.kind == Kind::Killed => return Err(trouble),
            Err(trouble) => {
                tell(snapshot::reason(&trouble));
                Source::Cold
            }
        };
        sources.insert(shape, source.clone());
        Ok(source)
    }

    fn frozen(
        &self,
        store: &Store,
        shape: Shape,
        cancel: &Cancel,
        tell: Tell<'_>,
    ) -> Result<Frozen, Trouble> {
        let host = |e: crate::error::Error| super::launch::boot(e.to_string());
        let spec = self.spec(shape);
        let key = template::key(&spec, &snapshot::settling(&spec))
            .map_err(|e| super::launch::boot(crate::error::plain(&e)))?;
        let template = match store.open(&key) {
            Ok(found) => found,
            Err(why) => {
                tell(format!("made the template anew: {why}"));
                None
            }
        };
        let template = match template {
            Some(template) => template,
            None => {
                let stage = store.stage(&key).map_err(host)?;
                if !stage.is_made() {
                    snapshot::freeze(&self.blueprint, &spec, &stage, cancel)?;
                    stage.publish(&describe(&spec)).map_err(host)?;
                }
                let made = store.open(&key).map_err(super::launch::boot)?;
                made.ok_or_else(|| super::launch::boot("the template is gone".to_owned()))?
            }
        };
        let overlays = match template.disk() {
            Some(disk) => {
                Some(Overlays::new(&disk, "qcow2", &self.blueprint.run_dir).map_err(host)?)
            }
            None => None,
        };
        Ok(Frozen { template, overlays })
    }
}

fn describe(spec: &Spec) -> String {
    let root = match &spec.rootfs {
        Some(path) => path.display().to_string(),
        None if spec.host_root => "this host's root".to_owned(),
        None => "no disk".to_owned(),
    };
    let Spec { arch, accel, memory_mib, cpus, net, wires, .. } = spec;
    let plural = if *cpus == 1 { "" } else { "s" };
    let card = match net {
        _ if *wires > 0 => format!(", {wires} wired"),
        true => ", network card".to_owned(),
        false => String::new(),
    };
    format!("{arch} {}, {memory_mib} MiB, {cpus} CPU{plural}{card}, {root}", accel.name())
}

impl Maker for VmMaker {
    fn make(
        &self,
        shape: Shape,
        cancel: &Cancel,
        tell: Tell<'_>,
    ) -> Result<Box<dyn Machine>, Trouble> {
        self.boot(shape, cancel, tell).map(|vm| Box::new(vm) as Box<dyn Machine>)
    }

    fn group(
        &self,
        shape: Shape,
        nodes: &[Node],
        cancel: &Cancel,
        tell: Tell<'_>,
    ) -> Result<Box<dyn Machine>, Trouble> {
        let berth = self.berths.take(nodes.len(), cancel)?;
        let run_dir = &self.blueprint.run_dir;
        let boot = |place: Place<'_>, wires: u32, tell: Tell<'_>| {
            self.boot_in(place, Shape { wires, ..shape }, cancel, tell)
        };
        let group = group::assemble(nodes, run_dir, berth, &boot, tell)?;
        Ok(Box::new(group))
    }
}
