//! `orca clean`: removes what orca keeps between runs.

use crate::cli::config::{Config, HISTORIES};
use crate::error::{Error, Result};
use crate::events::exit;
use crate::host::logdir::RUNS;
use crate::image::artifacts::ArtifactCache;
use crate::qemu::template::Store;
use crate::qemu::{accel, version};
use crate::report::plain;

/// Removes templates, what was made of kernels and roots, remembered answers, the logs of runs and
/// what is known of tests.
///
/// # Errors
/// What cannot be removed.
pub fn run(config: &Config) -> Result<u8> {
    let store = Store::new(&config.cache);
    for entry in store.list() {
        store.remove(&entry.key)?;
        plain::out(format!("removed template {}\n", entry.key).as_bytes());
    }
    store.clear()?;
    let runs = config.state.join(RUNS);
    if runs.exists() {
        std::fs::remove_dir_all(&runs).map_err(|e| Error::io("remove", &runs, &e))?;
        plain::out(format!("removed the logs in {}\n", runs.display()).as_bytes());
    }
    let histories = config.state.join(HISTORIES);
    if histories.exists() {
        std::fs::remove_dir_all(&histories).map_err(|e| Error::io("remove", &histories, &e))?;
        plain::out(format!("removed the histories in {}\n", histories.display()).as_bytes());
    }
    ArtifactCache::new(&config.cache).clear()?;
    accel::forget(&config.cache);
    version::forget(&config.cache);
    Ok(exit::GOOD)
}
