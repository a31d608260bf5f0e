//! The console of process 1, for messages that no host reads, and its end: it powers the machine
//! off and never exits.

use nix::libc::O_NOCTTY;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::termios::tcdrain;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic;

/// Writes `agent: ` and `line` to the console, and waits until they are out.
pub(crate) fn say(line: &str) {
    let line = format!("agent: {line}\r\n");
    match File::options().write(true).custom_flags(O_NOCTTY).open("/dev/console") {
        Ok(mut console) => {
            // There is nowhere else to say it.
            _ = console.write_all(line.as_bytes());
            _ = tcdrain(&console);
        }
        Err(_) => _ = io::stderr().write_all(line.as_bytes()),
    }
}

/// Writes the reason to the console, and powers the machine off.
pub(crate) fn give_up(why: &str) -> ! {
    say(why);
    power_off()
}

/// Writes dirty pages back and powers the machine off, or reboots it if it cannot be powered off.
pub(crate) fn power_off() -> ! {
    nix::unistd::sync();
    for mode in [RebootMode::RB_POWER_OFF, RebootMode::RB_AUTOBOOT] {
        let Err(e) = reboot(mode);
        say(&format!("cannot end the machine: {}", e.desc()));
    }
    loop {
        std::thread::park();
    }
}

/// Makes a panic of any thread power the machine off. If process 1 exited or aborted, the kernel
/// would panic.
pub(crate) fn power_off_on_panic() {
    panic::set_hook(Box::new(|info| {
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let what = text.or(payload.downcast_ref().copied()).unwrap_or("no message");
        give_up(&format!("panic at {at}: {what}"))
    }));
}
