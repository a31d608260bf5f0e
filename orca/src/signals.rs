//! Signals as messages: INT through `ctrlc`, TERM and HUP through `signal-hook`, never two crates on one signal.
//!
//! `ctrlc` could take all three, but does not tell which came, and an interrupted run is to die of the one that did.

use crate::error::{Error, Result, plain};
use crossbeam::channel::{Receiver, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Signals that may wait; more change nothing.
const QUEUE: usize = 8;

/// Begins to listen. Call it once.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn listen() -> Result<Receiver<i32>> {
    let (sender, signals) = bounded(QUEUE);
    let fail = |e: std::io::Error| Error::new(format!("cannot handle signals: {}", plain(&e)));
    let interrupts = sender.clone();
    ctrlc::set_handler(move || {
        let _ = interrupts.try_send(SIGINT);
    })
    .map_err(|e| fail(std::io::Error::other(e)))?;
    // `nohup` means what it says.
    let wanted = if is_ignored(SIGHUP) { vec![SIGTERM] } else { vec![SIGTERM, SIGHUP] };
    let mut others = signal_hook::iterator::Signals::new(wanted).map_err(fail)?;
    let forward = move || {
        for signal in others.forever() {
            let _ = sender.try_send(signal);
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(forward).map_err(fail)?;
    Ok(signals)
}

fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// Ends this process as if it had never handled `signal`, so that its parent sees the truth.
pub fn die_of(signal: i32) -> ! {
    // It only returns for signals that end no process, and these do.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    std::process::exit(128 + signal)
}
