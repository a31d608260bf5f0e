//! Signals as messages: INT through `ctrlc`, TERM and HUP through `signal-hook`, never two crates on one signal.
//!
//! `ctrlc` could take all three, but does not tell which came, and an interrupted run is to die of the one that did.

use super::tty::Attention;
use crate::error::{Error, Result, plain};
use crossbeam::channel::{Receiver, bounded};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGWINCH};

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

/// Begins to listen for what concerns only those who show the run. After [`Attention::Suspend`] and [`Attention::Quit`] whoever
/// receives them must call [`obey`]. Call it once.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn attend() -> Result<Receiver<Attention>> {
    let (sender, attention) = bounded(QUEUE);
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
            // Only a reporter that hangs lets them pile up, and it would not be helped by one more.
            let _ = sender.try_send(attention);
        }
    };
    std::thread::Builder::new().name("attention".into()).spawn(forward).map_err(fail)?;
    Ok(attention)
}

/// Does what the signal behind `attention` does to a process that does not handle it.
pub fn obey(attention: Attention) {
    match attention {
        Attention::Quit => die_of(SIGQUIT),
        Attention::Suspend => {
            // It comes back when the process is let go on.
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

/// Ends this process as if it had never handled `signal`, so that its parent sees the truth.
pub fn die_of(signal: i32) -> ! {
    // It only returns for signals that end no process, and these do.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    std::process::exit(128 + signal)
}
