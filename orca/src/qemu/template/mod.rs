//! Frozen machines on disk: found, checked, written and removed.
//!
//! A template is a folder named after everything that shaped it: `ram` (the guest's memory,
//! sparse), `state` (its devices), `disk.qcow2` (what it wrote over the root disk) and `meta.json`
//! (checksums). A run that uses one holds its files open and hands QEMU those, not their names: a
//! template may be replaced or removed while copies of it run, or are still to be made.

use super::argv::{Memory, Project, Slot, Spec, argv};
use super::checksum;
use crate::error::{Error, Result};
use crate::host::{sparse, sys};
use crate::image::artifacts::Identity;
use crate::image::cache::{Cache, CacheEntry, Staged};
use crate::text::hash::Fnv1a;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Changes whenever older templates must not be used any more.
const FORMAT: u32 = 6;
/// Disk space that all templates together may take, in bytes; the least recently used go first.
pub const SPACE_MAX: u64 = 4 << 30;
const META: &str = "meta.json";
const PARTS: [&str; 4] = ["ram", "state", "disk.qcow2", "project.qcow2"];

/// The folder of all templates.
#[derive(Clone, Debug)]
pub struct Store(Cache);

/// A frozen machine, its files held open. Either it was found in the store and checked, or it is of
/// this run and its files may have no names.
#[derive(Debug)]
pub struct Template {
    /// The guest's memory; `None` if it is part of `state`.
    pub ram: Option<File>,
    /// The devices' state.
    pub state: File,
    /// What the guest had written over its root disk, if it has one.
    pub disk: Option<Arc<File>>,
    /// The project's disk, as far as the guest had it, if it has one.
    pub project: Option<Arc<File>>,
    /// The disks that these stand on, of the machines that this one is a copy of.
    pub below: Vec<Arc<File>>,
}

/// A template as `orca template list` shows it.
#[derive(Clone, Debug)]
pub struct TemplateInfo {
    /// Its name: what shaped it, as hexadecimal.
    pub key: String,
    /// What it is, in words.
    pub description: String,
    /// Disk space, in bytes.
    pub bytes: u64,
    /// When it was last used.
    pub used: SystemTime,
}

impl Store {
    /// The store below the cache folder `cache`.
    pub fn new(cache: &Path) -> Self {
        Self::bounded(cache, SPACE_MAX)
    }

    fn bounded(cache: &Path, space_max: u64) -> Self {
        Self(Cache::new(cache.join("templates"), space_max, Duration::ZERO))
    }

    /// The template called `key`; `None` if there is none. A damaged one is removed.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open(&self, key: &str) -> Result<Option<Template>, String> {
        let dir = self.0.path(key);
        if !dir.join(META).exists() {
            return Ok(None);
        }
        match check(&dir) {
            Ok(template) => {
                self.0.touch(key);
                Ok(Some(template))
            }
            Err(why) => {
                self.remove(key).map_err(|e| e.to_string())?;
                Err(why)
            }
        }
    }

    /// Waits until nobody else makes the template called `key`, and keeps others from it.
    ///
    /// # Errors
    /// The cache folder cannot be written to.
    pub fn stage(&self, key: &str) -> Result<Stage> {
        let staged = self.0.stage(key)?;
        let dir = staged.path();
        fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, &e))?;
        Ok(Stage(staged))
    }

    /// Every template, the most recently used one first.
    pub fn list(&self) -> Vec<TemplateInfo> {
        self.0.list().into_iter().map(info).collect()
    }

    /// Removes all templates, damaged ones included, and what killed runs left unfinished.
    ///
    /// # Errors
    /// One that cannot be removed.
    pub fn clear(&self) -> Result<()> {
        self.0.clear()
    }

    /// Removes a template. Machines that were or are being copied from it are not touched.
    ///
    /// # Errors
    /// It is not there or cannot be removed.
    pub fn remove(&self, key: &str) -> Result<()> {
        self.0.remove(key)
    }
}

/// A template in the making, its lock held; dropping it unpublished removes it.
#[derive(Debug)]
pub struct Stage(Staged);

impl Stage {
    /// The file for the guest's memory.
    pub fn ram(&self) -> PathBuf {
        self.dir().join(PARTS[0])
    }

    /// The file for the devices' state.
    pub fn state(&self) -> PathBuf {
        self.dir().join(PARTS[1])
    }

    /// The file for the root disk.
    pub fn disk(&self) -> PathBuf {
        self.dir().join(PARTS[2])
    }

    /// The file for the project's disk.
    pub fn project(&self) -> PathBuf {
        self.dir().join(PARTS[3])
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    /// Whether somebody else has published it in the meantime.
    pub fn is_made(&self) -> bool {
        self.0.place().join(META).exists()
    }

    /// Puts the finished template in its place.
    ///
    /// # Errors
    /// A part cannot be read, or the folder cannot be renamed.
    pub fn publish(self, description: &str) -> Result<()> {
        let mut sums = serde_json::Map::new();
        for part in PARTS {
            let path = self.dir().join(part);
            if path.exists() {
                let sum = File::open(&path).and_then(|file| checksum::of(&file));
                let sum = sum.map_err(|e| Error::io("read", &path, &e))?;
                sums.insert(part.to_owned(), json!(format!("{sum:016x}")));
            }
        }
        let meta = json!({ "format": FORMAT, "description": description, "sums": sums });
        let path = self.dir().join(META);
        fs::write(&path, meta.to_string()).map_err(|e| Error::io("write", &path, &e))?;
        self.0.publish().map(drop)
    }
}

impl Template {
    /// Where the memory of a copy is. With `file`, it is that file, which begins as a copy of the
    /// template's memory; otherwise it is mapped privately.
    ///
    /// # Errors
    /// The memory cannot be copied: no room.
    pub fn memory(&self, file: Option<&File>) -> io::Result<Memory> {
        match (&self.ram, file) {
            (None, _) => Ok(Memory::Stream),
            (Some(ram), None) => Ok(Memory::Copy(sys::path_of(ram))),
            (Some(ram), Some(file)) => {
                sparse::copy(ram, file)?;
                Ok(Memory::Layer(sys::path_of(file)))
            }
        }
    }

    /// All disks, for a machine whose own disks stand on them. Their names do not last.
    pub fn disks(&self) -> Vec<Arc<File>> {
        let own = [&self.disk, &self.project].into_iter().flatten();
        self.below.iter().chain(own).cloned().collect()
    }

    /// The devices' state, open at its beginning.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn state(&self) -> io::Result<File> {
        File::open(sys::path_of(&self.state))
    }

    /// What the guest had written over its root disk, if it has one.
    pub fn disk(&self) -> Option<PathBuf> {
        self.disk.as_deref().map(sys::path_of)
    }

    /// The project's disk, as far as the guest had it, if it has one.
    pub fn project(&self) -> Option<PathBuf> {
        self.project.as_deref().map(sys::path_of)
    }
}

/// The name of the template that machines of `spec` are copied from: a digest of QEMU, its command
/// line, the image and `settle`, the script that is run before the freeze. The project is not part
/// of it, since it is mounted afterwards.
///
/// # Errors
/// The metadata of a file of the machine cannot be read.
pub fn key(spec: &Spec, settle: &str) -> io::Result<String> {
    let mut hasher = Fnv1a::new();
    (FORMAT, settle).hash(&mut hasher);
    let nowhere = PathBuf::new();
    let project = match &spec.project {
        Project::Folder { .. } => Project::Folder { path: nowhere.clone(), writable: false },
        Project::Disk => Project::Disk,
    };
    let has_disk = project == Project::Disk;
    let neutral = Spec { project, ..spec.clone() };
    let slot = Slot {
        socket: nowhere.clone(),
        overlay: Some(nowhere.clone()),
        project: has_disk.then(|| nowhere.clone()),
        memory: Memory::Template(nowhere),
        gdb: None,
        hubs: Vec::new(),
    };
    argv(&neutral, &slot).hash(&mut hasher);
    if spec.accel.is_hardware() {
        // Such a guest has seen the host's CPU.
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        cpus.lines().take(8).for_each(|line| line.hash(&mut hasher));
    }
    let files = [Some(&spec.program), Some(&spec.kernel), Some(&spec.initrd)];
    let disks = [spec.rootfs.as_ref(), spec.modules.as_ref()];
    for file in files.into_iter().chain(disks).flatten() {
        Identity::of(file)?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// The name of a template that is made from the one called `below`, by what is done in it.
pub fn key_above(below: &str, done: impl Hash) -> String {
    let mut hasher = Fnv1a::new();
    (FORMAT, below).hash(&mut hasher);
    done.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn check(dir: &Path) -> Result<Template, String> {
    let meta =
        read(&dir.join(META)).map_err(|e| format!("`{META}`: {}", crate::error::plain(&e)))?;
    let meta: Value = serde_json::from_slice(&meta).map_err(|_| format!("unreadable {META}"))?;
    if meta["format"] != FORMAT {
        return Err(format!("{META} has another format"));
    }
    let open = |part: &str| {
        let Some(expected) = meta["sums"][part].as_str() else { return Ok(None) };
        let file = regular(&dir.join(part));
        let sum = file.and_then(|file| Ok((checksum::of(&file)?, file)));
        match sum {
            Ok((sum, file)) if expected == format!("{sum:016x}") => Ok(Some(file)),
            Ok(_) => Err(format!("`{part}` is damaged")),
            Err(e) => Err(format!("`{part}`: {}", crate::error::plain(&e))),
        }
    };
    let needed = |part: &str| open(part)?.ok_or_else(|| format!("{META} has no sum for {part}"));
    let (ram, state) = (needed(PARTS[0])?, needed(PARTS[1])?);
    let (disk, project) = (open(PARTS[2])?.map(Arc::new), open(PARTS[3])?.map(Arc::new));
    Ok(Template { ram: Some(ram), state, disk, project, below: Vec::new() })
}

/// Opens a regular file. A pipe in its place would block the reader for ever.
fn regular(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    regular(path)?.read_to_end(&mut bytes).map(|_| bytes)
}

/// An entry of the cache as a template.
fn info(entry: CacheEntry) -> TemplateInfo {
    let CacheEntry { name: key, path, bytes, used } = entry;
    let meta = read(&path.join(META)).ok().and_then(|meta| serde_json::from_slice(&meta).ok());
    let description = meta.as_ref().and_then(|meta: &Value| meta["description"].as_str());
    let description = description.unwrap_or("damaged").to_owned();
    TemplateInfo { key, description, bytes, used }
}

#[cfg(test)]
mod tests;
