//! How the machines of a run get the project: as a disk, or as a folder of the host.

use super::boot_files;
use crate::arch::Arch;
use crate::cli::config::Config;
use crate::error::{Error, Result, plain};
use crate::image::artifacts::ArtifactCache;
use crate::image::ext4;
use crate::image::project::{self, ProjectImage, Tree};
use crate::text::count::count;
use agent::wire::Share;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// How many of the files that are left out are named.
const NAMED: usize = 3;

/// How machines get the project.
#[derive(Debug)]
pub struct ProjectShare {
    /// The way.
    pub share: Share,
    /// The image of the disk, if it is one.
    pub image: Option<ProjectImage>,
    /// What was taken, in words.
    pub description: String,
}

/// How machines would get the project, in words, and the reason if a disk was not asked for and
/// cannot be had. Nothing is made.
///
/// # Errors
/// A disk was asked for, and cannot be made.
pub fn foresee(config: &Config, arch: Arch) -> Result<(Share, String)> {
    if let Some(share) = config.raw.share.filter(|share| *share != Share::Disk) {
        return Ok((share, format!("{}, as --share says", share.name())));
    }
    let tree = ext4::check().and_then(|()| survey(config, arch));
    match tree {
        Ok(tree) => Ok((Share::Disk, contents(&tree, ""))),
        Err(error) if config.raw.share.is_some() => Err(error),
        Err(error) => Ok((Share::Overlay, format!("overlay, since {error}"))),
    }
}

/// Makes a disk of the project if the configuration says so, or if it says nothing and the project
/// fits.
///
/// # Errors
/// A disk was asked for, and cannot be made.
pub fn resolve(config: &Config, arch: Arch) -> Result<ProjectShare> {
    if let Some(share) = config.raw.share.filter(|share| *share != Share::Disk) {
        let description = format!("project: {}", share.name());
        return Ok(ProjectShare { share, image: None, description });
    }
    let began = Instant::now();
    match disk(config, arch) {
        Ok((image, tree, is_new)) => {
            let took = is_new.then(|| began.elapsed().as_secs_f64());
            Ok(ProjectShare {
                share: Share::Disk,
                image: Some(image),
                description: describe(&tree, took),
            })
        }
        Err(error) if config.raw.share.is_some() => Err(match error.next_step() {
            Some(_) => error,
            None => error.hint("mend that, or say --share overlay"),
        }),
        Err(error) => Ok(ProjectShare {
            share: Share::Overlay,
            image: None,
            description: format!("project: overlay, since {error}"),
        }),
    }
}

fn disk(config: &Config, arch: Arch) -> Result<(ProjectImage, Tree, bool)> {
    let tree = survey(config, arch)?;
    let cache = ArtifactCache::of_projects(&config.cache);
    let (image, is_new) = project::image(&cache, &config.root, tree.clone())?;
    Ok((image, tree, is_new))
}

fn survey(config: &Config, arch: Arch) -> Result<Tree> {
    let root = &config.root;
    let ignored = ignored(root);
    let tree = project::survey(root, &own_images(config, arch), ignored.as_deref().unwrap_or(&[]));
    match (tree, ignored) {
        // Without git's word nothing can be left out.
        (Err(error), Err(said)) if root.join(".git").exists() => {
            let text = format!("{error}; git does not say what it ignores: {said}");
            Err(Error::new(text).hint(error.next_step().unwrap_or_default()))
        }
        (tree, _) => tree,
    }
}

/// `project: a disk with 12 MiB in 412 files, made in 0.4 s, without target`.
fn describe(tree: &Tree, took: Option<f64>) -> String {
    let made = took.map_or("kept".to_owned(), |seconds| format!("made in {seconds:.1} s"));
    format!("project: {}", contents(tree, &format!(", {made}")))
}

/// What is on the disk, `more` about it, and what is not there.
fn contents(tree: &Tree, more: &str) -> String {
    let mib = tree.fingerprint.bytes.div_ceil(1 << 20);
    let files = count(tree.fingerprint.files as usize, "file");
    let mut text = format!("a disk with {mib} MiB in {files}{more}");
    let too_large = &tree.left_out[..tree.too_large];
    let names: Vec<String> =
        too_large.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    if !names.is_empty() {
        text.push_str(&format!(", without {}", names.join(", ")));
        let more = too_large.len() - names.len();
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
    }
    text
}

/// The files that machines boot, and what orca keeps between runs: all this may lie in the project.
fn own_images(config: &Config, arch: Arch) -> Vec<PathBuf> {
    let raw = &config.raw;
    let named = [&raw.initrd, &raw.rootfs, &raw.modules].into_iter().flatten().cloned();
    let image = boot_files::image_files(config, arch);
    let kept = [config.cache.clone(), config.state.clone()];
    let all = boot_files::kernel_paths(config, arch).into_iter().chain(named).chain(image);
    let all = all.chain(kept);
    let all = all.filter(|path| *path != config.root && !config.root.starts_with(path));
    all.filter_map(|path| std::fs::canonicalize(path).ok()).collect()
}

/// What git ignores in the project, relative to it.
///
/// # Errors
/// What git says: there is no repository, or it is not trusted.
fn ignored(root: &Path) -> Result<Vec<PathBuf>, String> {
    let words = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];
    let mut command = Command::new("git");
    // A repository's own configuration may name a program that git starts here.
    command.args(["-c", "core.fsmonitor=false", "-C"]).arg(root).args(words).stdin(Stdio::null());
    let output = command.output().map_err(|e| plain(&e))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().next().unwrap_or_default().trim_start_matches("fatal: ");
        return Err(line.chars().filter(|c| !c.is_control()).collect());
    }
    let paths = output.stdout.split(|&b| b == 0).filter(|path| !path.is_empty());
    let paths = paths.map(|path| path.strip_suffix(b"/").unwrap_or(path).to_vec());
    Ok(paths.map(|path| PathBuf::from(OsString::from_vec(path))).collect())
}
