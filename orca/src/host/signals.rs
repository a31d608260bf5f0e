//! Signals as messages: INT through `ctrlc`, TERM and HUP through `signal-hook`, never two crates
//! on one signal.
//!
//! `ctrlc` could handle all three but does not say which one came, and an interrupted run must die
//! of the signal that came.

use super::tty::Attention;
use crate::error::{Error, Result, plain};
use crossbeam::channel::{Receiver, bounded};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGWINCH};

/// The most signals that may wait; one more would change nothing.
const QUEUE: usize = 8;

/// Starts to handle INT, TERM and HUP and returns the channel that they come through. Call it once.
///
/// # Errors
/// The handlers cannot be installed.
pub fn listen() -> Result<Receiver<i32>> {
    let (sender, signals) = bounded(QUEUE);
    let fail = |e: std::io::Error| Error::new(format!("cannot handle signals: {}", plain(&e)));
    let interrupts = sender.clone();
    ctrlc::set_handler(move || {
        let _ = interrupts.try_send(SIGINT);
    })
    .map_err(|e| fail(std::io::Error::other(e)))?;
    // A HUP that `nohup` made this process ignore stays ignored.
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

/// Starts to handle the signals that concern only reporters: no decision of a run depends on them.
/// The receiver of [`Attention::Suspend`] or [`Attention::Quit`] must call [`obey`] afterwards.
/// Call it once.
///
/// # Errors
/// The handlers cannot be installed.
pub fn attention() -> Result<Receiver<Attention>> {
    let (sender, receiver) = bounded(QUEUE);
    let fail = |e: std::io::Error| Error::new(format!("cannot handle signals: {}", plain(&e)));
    let wanted = [SIGUSR1, SIGWINCH, SIGTSTP, SIGCONT, SIGQUIT];
    let wanted: Vec<i32> = wanted.into_iter().filter(|signal| !is_ignored(*signal)).collect();
    let mut signals = signal_hook::iterator::Signals::new(wanted).map_err(fail)?;
    let forward = move || {
        for signal in signals.forever() {
            let attention = match signal {
                SIGUSR1 => Attention::Status,
                SIGWINCH => Attention::Resized,
                SIGTSTP => Attention::Suspend,
                SIGCONT => Attention::Resumed,
                _ => Attention::Quit,
            };
            // The queue is full only if a reporter hangs, and one more would not help it.
            let _ = sender.try_send(attention);
        }
    };
    std::thread::Builder::new().name("attention".into()).spawn(forward).map_err(fail)?;
    Ok(receiver)
}

/// Does what the signal behind `attention` does by default.
pub fn obey(attention: Attention) {
    match attention {
        Attention::Quit => die_of(SIGQUIT),
        Attention::Suspend => {
            // This returns when the process is continued.
            let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
        }
        Attention::Resized | Attention::Status | Attention::Resumed => {}
    }
}

fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// Ends this process as if it had never handled `signal`, so that its parent sees which signal it
/// was.
pub fn die_of(signal: i32) -> ! {
    // It returns only for signals that end no process, and these do.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    std::process::exit(128 + signal)
}
