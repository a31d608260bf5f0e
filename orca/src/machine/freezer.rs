//! Freezes a machine of this run as it runs, and keeps what copies of it need.

use super::interface::{SetUp, Warn};
use super::launch::Instance;
use super::layers::{BootMethod, CopySource, Layers};
use super::snapshot;
use crate::error::{Error, Result as HostResult, plain};
use crate::guest::client::Guest;
use crate::host::{clock, sparse};
use crate::qemu::argv::PROJECT_DISK_BYTES;
use crate::qemu::overlay::Overlays;
use crate::qemu::template::{self, Store, Template};
use crate::shape::Shape;
use agent::wire::{Command, Resume, SHARE_DIR, Share};
use std::fs::File;
use std::hash::Hash;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What freezes one machine.
pub(super) struct Freezer {
    /// What the machine is a copy of.
    pub(super) below: Arc<Template>,
    pub(super) shape: Shape,
    pub(super) layers: Arc<Layers>,
    pub(super) keeper: Arc<Keeper>,
    /// The key of the template that all this stands on.
    pub(super) base: Arc<str>,
    /// The machine, in words.
    pub(super) machine: String,
}

/// Where frozen machines of one run are kept.
pub(super) struct Keeper {
    pub(super) store: Store,
    /// The root disk, and QEMU's name for its format.
    pub(super) root: Option<(PathBuf, String)>,
    /// The image of the project's disk.
    pub(super) project: Option<PathBuf>,
    /// The project's folder, if it has a disk.
    pub(super) project_root: Option<PathBuf>,
    /// The private folder of the run.
    pub(super) run_dir: PathBuf,
    /// Where files without a name are made.
    pub(super) spool: PathBuf,
}

impl Freezer {
    /// Freezes the machine, which has ended afterwards.
    ///
    /// # Errors
    /// Why it cannot be frozen.
    pub(super) fn freeze(
        &self,
        instance: &mut Instance,
        is_mounted: bool,
    ) -> io::Result<CopySource> {
        let Keeper { spool, run_dir, .. } = &*self.keeper;
        let template = snapshot::freeze_running(instance, spool, self.below.disks())?;
        CopySource::new(Arc::new(template), Arc::clone(&self.base), is_mounted, run_dir)
            .map_err(io::Error::other)
    }

    /// Freezes a machine after its set-up. From now on machines of its shape with that set-up are
    /// copies of it. A template that is kept between runs has no project mounted, since the project
    /// will be another.
    ///
    /// # Errors
    /// Why it cannot be frozen.
    pub(super) fn become_setup(
        self,
        guest: &mut Guest,
        instance: &mut Instance,
        setup: &SetUp,
        limit: Duration,
        warn: Warn<'_>,
    ) -> io::Result<()> {
        let kept = setup.kept.filter(|_| self.unmount(guest, limit, warn));
        guest.ask(Command::Settle, clock::now() + limit)?;
        let source = self.freeze_settled(instance, kept.is_none())?;
        if let Some(kept) = kept {
            let key = setup_key(&self.base, kept);
            let what = self.describe(&setup.path);
            if let Err(error) = self.keeper.keep(&key, &source.template, false, &what) {
                warn(format!("its machine is not kept: {error}"));
            }
        }
        self.put(Shape { setup: Some(setup.number), ..self.shape }, source);
        Ok(())
    }

    /// Freezes a machine in which nothing but the project was prepared. From now on machines of its
    /// shape are copies of it, in later runs too if they have the same project.
    ///
    /// # Errors
    /// Why it cannot be frozen.
    pub(super) fn become_base(
        self,
        guest: &mut Guest,
        instance: &mut Instance,
        done: impl Hash,
        limit: Duration,
    ) -> io::Result<()> {
        guest.ask(Command::Settle, clock::now() + limit)?;
        let source = self.freeze_settled(instance, true)?;
        let (template, key) = (Arc::clone(&source.template), template::key_above(&self.base, done));
        self.put(self.shape, source);
        // A run whose template cannot be kept is as fast; the next one makes it again.
        let _ = self.keeper.keep(&key, &template, true, &self.describe("project"));
        Ok(())
    }

    /// What is kept, in words: `t/setup.sh in /home/me/project; x86_64 kvm, 512 MiB, 1 CPU, …`.
    fn describe(&self, what: &str) -> String {
        let root = self.keeper.project_root.as_deref().unwrap_or(Path::new("?")).display();
        format!("{what} in {root}; {}", self.machine)
    }

    fn freeze_settled(&self, instance: &mut Instance, is_mounted: bool) -> io::Result<CopySource> {
        std::thread::sleep(snapshot::QUIET);
        self.freeze(instance, is_mounted)
    }

    fn put(&self, shape: Shape, source: CopySource) {
        self.layers.lock().put(shape, BootMethod::Copy(Arc::new(source)));
    }

    fn unmount(&self, guest: &mut Guest, limit: Duration, warn: Warn<'_>) -> bool {
        let deadline = clock::now() + limit;
        let unmounted = guest
            .exec(&format!("cd / && umount {SHARE_DIR}"), deadline)
            .is_ok_and(|ended| ended.exit == 0);
        if !unmounted {
            warn(
                "it is made again in every run, in spite of its `cache=`: it left a process in \
                 the project's folder; `cd /` before starting servers"
                    .to_owned(),
            );
            return false;
        }
        let none = Resume { share: Some(Share::None), ..Resume::default() };
        match guest.ask(Command::Resume(none), deadline) {
            Ok(_) => true,
            Err(e) => {
                warn(format!("it is made again in every run: {}", crate::error::plain(&e)));
                false
            }
        }
    }
}

/// The key of a set-up's template, on top of the template with the key `base`.
pub(super) fn setup_key(base: &str, kept: u64) -> String {
    template::key_above(base, ("set-up", kept))
}

impl Keeper {
    /// Puts `template` into the store. Its disks stand on others, which may go, so they are written
    /// as differences to the image's root and to the project's disk.
    ///
    /// # Errors
    /// No room.
    fn keep(
        &self,
        key: &str,
        template: &Template,
        is_mounted: bool,
        description: &str,
    ) -> HostResult<()> {
        let stage = self.store.stage(key)?;
        if stage.is_made() {
            return Ok(());
        }
        let Some(ram) = &template.ram else { return Ok(()) };
        let state = template.state().map_err(|e| Error::new(plain(&e)))?;
        copy(ram, &stage.ram())?;
        copy(&state, &stage.state())?;
        if let (Some(disk), Some((root, format))) = (&template.disk, &self.root) {
            copy(disk, &stage.disk())?;
            Overlays::flatten(&stage.disk(), root, format)?;
        }
        match (&template.project, &self.project) {
            (Some(project), Some(image)) if is_mounted => {
                copy(project, &stage.project())?;
                Overlays::flatten(&stage.project(), image, "raw")?;
            }
            (Some(_), _) => Overlays::create_empty(PROJECT_DISK_BYTES, &stage.project())?,
            (None, _) => {}
        }
        stage.publish(description)
    }
}

fn copy(from: &File, path: &Path) -> HostResult<()> {
    let copied = File::create(path).and_then(|to| sparse::copy(from, &to));
    copied.map_err(|e| Error::io("write", path, &e))
}
