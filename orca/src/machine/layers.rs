//! The frozen machines that a run's machines are copied from, by shape: templates, and the layers
//! that were made on top of them.

use crate::error::Result;
use crate::image::project::ProjectImage;
use crate::qemu::argv::Memory;
use crate::qemu::overlay::Overlays;
use crate::qemu::template::Template;
use crate::shape::Shape;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The disk with the project, which is never written to.
#[derive(Debug)]
pub struct ProjectDisk {
    /// The file under it.
    pub image: ProjectImage,
    /// The project's folder.
    pub root: PathBuf,
    /// Makes disks over it.
    pub overlays: Overlays,
}

/// How machines of one shape are booted.
#[derive(Clone)]
pub(super) enum BootMethod {
    /// Each by itself.
    Cold,
    /// As copies.
    Copy(Arc<CopySource>),
}

/// A frozen machine, and what makes the disks of its copies.
#[derive(Debug)]
pub(super) struct CopySource {
    pub(super) template: Arc<Template>,
    /// The key of the template that all this stands on.
    pub(super) base: Arc<str>,
    /// Whether the project's disk is mounted in it.
    pub(super) is_mounted: bool,
    /// Over its root disk.
    root: Option<Overlays>,
    /// Over its disk with the project; `None` if copies have the project as it is on the host.
    project: Option<Overlays>,
}

impl CopySource {
    /// The source of copies of `template`, whose disks are made in `dir`.
    ///
    /// # Errors
    /// As [`Overlays::new`].
    pub(super) fn new(
        template: Arc<Template>,
        base: Arc<str>,
        is_mounted: bool,
        dir: &Path,
    ) -> Result<Self> {
        let over =
            |disk: Option<PathBuf>| disk.map(|disk| Overlays::new(&disk, "qcow2", dir)).transpose();
        let root = over(template.disk())?;
        let project = if is_mounted { over(template.project())? } else { None };
        Ok(Self { template, base, is_mounted, root, project })
    }

    /// The disks of a copy called `name`: the root, and the project. `fresh` is the project as it
    /// is on the host.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn disks(&self, name: &str, fresh: Option<&ProjectDisk>) -> Result<Disks> {
        let fresh = fresh.map(|disk| &disk.overlays);
        Disks::create(self.root.as_ref(), self.project.as_ref().or(fresh), name)
    }

    /// Where the memory of a copy is, and its file if it has one of its own.
    ///
    /// # Errors
    /// No room for the file.
    pub(super) fn memory(&self, file: Option<File>) -> io::Result<(Memory, Option<File>)> {
        let memory = self.template.memory(file.as_ref())?;
        Ok((memory, file.filter(|_| self.template.ram.is_some())))
    }
}

/// The writable disks of one machine.
#[derive(Default)]
pub(super) struct Disks {
    pub(super) root: Option<PathBuf>,
    pub(super) project: Option<PathBuf>,
}

impl Disks {
    /// Makes the disks of the machine called `name`.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn create(
        root: Option<&Overlays>,
        project: Option<&Overlays>,
        name: &str,
    ) -> Result<Self> {
        let root = root.map(|overlays| overlays.create(name)).transpose()?;
        let project = project.map(|overlays| overlays.create(&format!("{name}-project")));
        Ok(Self { root, project: project.transpose()? })
    }
}

/// The methods of a run.
#[derive(Default)]
pub(super) struct Layers(Mutex<HashMap<Shape, BootMethod>>);

/// The methods, while nobody else may use them.
pub(super) struct LockedLayers<'a>(MutexGuard<'a, HashMap<Shape, BootMethod>>);

impl Layers {
    /// Keeps others away meanwhile.
    pub(super) fn lock(&self) -> LockedLayers<'_> {
        LockedLayers(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LockedLayers<'_> {
    /// The method for `shape`, if it is known.
    pub(super) fn get(&self, shape: Shape) -> Option<BootMethod> {
        self.0.get(&key(shape)).cloned()
    }

    /// From now on machines of `shape` are made in this way.
    pub(super) fn put(&mut self, shape: Shape, method: BootMethod) {
        self.0.insert(key(shape), method);
    }
}

/// Machines that are to be frozen are copies of the same.
fn key(shape: Shape) -> Shape {
    Shape { freezes: false, ..shape }
}
