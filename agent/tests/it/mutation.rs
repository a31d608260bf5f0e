//! Input that a broken or hostile peer could send: seeded mutations of good input. None makes the
//! decoder or the agent panic, hang, or allocate room for more than one frame.

use crate::kit::{Agent, DEADLINE, Project};
use crate::mutate::mutation;
use agent::wire::{self, Command, Ended, Kind, PAYLOAD_MAX, Request};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Instant;

/// How many mutations the decoder gets. Each takes microseconds.
const DECODED: u64 = 20_000;
/// How many agents get a mutation.
const AGENTS: u64 = 100;

/// A reader that records the largest read, which is also the largest allocation for one.
struct Recorder<'a> {
    bytes: &'a [u8],
    largest: usize,
}

impl Read for Recorder<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.largest = self.largest.max(into.len());
        self.bytes.read(into)
    }
}

/// Frames of many kinds, of the host and of the agent.
fn frames() -> Vec<u8> {
    let resume = b"RESUME time=1700000000000000000 seed=01fe hostname=vm-1 share=ro";
    let mut out = Vec::new();
    for (kind, id, payload) in [
        (Kind::Command, 1, &b"PING"[..]),
        (Kind::Command, 2, b"TEST t/none_test.sh\0NAME=value\0B=c=d"),
        (Kind::Command, 3, b"CANCEL 2"),
        (Kind::Command, 4, resume),
        (Kind::Stdin, 2, b"some bytes"),
        (Kind::Window, 2, &[24, 0, 80, 0]),
        (Kind::Reply, 2, b"TAP_END none_test.sh exit=137 signal=9 left=2"),
        (Kind::Stdout, 2, &[b'x'; 500]),
        (Kind::File, 2, b"a/b"),
        (Kind::Data, 2, b""),
        (Kind::Fork, 1, b"Dcase"),
        (Kind::Fork, 2, b"RERR no"),
    ] {
        wire::write_frame(&mut out, kind, id, payload).unwrap();
    }
    out
}

#[test]
fn the_decoder_survives_any_input_in_bounded_memory() {
    let good = frames();
    let (mut whole, mut refused) = (0, 0);
    for seed in 1..=DECODED {
        let bytes = mutation(&good, seed);
        let mut input = Recorder { bytes: &bytes, largest: 0 };
        loop {
            match wire::read_frame(&mut input) {
                Ok(Some(frame)) => {
                    whole += 1;
                    assert!(frame.payload.len() <= bytes.len().min(PAYLOAD_MAX), "seed {seed}");
                    // No decoder makes more of a payload than there is.
                    if let Ok(request) = Request::decode(&frame.payload) {
                        assert!(
                            request.encode().len() <= 2 * frame.payload.len() + 64,
                            "seed {seed}"
                        );
                    }
                    let _ = Command::parse(&frame.payload);
                    let _ = Ended::parse(&String::from_utf8_lossy(&frame.payload));
                    let _ = wire::marker_name(&frame.payload);
                }
                Ok(None) => break,
                Err(_) => {
                    refused += 1;
                    break;
                }
            }
        }
        assert!(input.largest <= PAYLOAD_MAX, "seed {seed}: {} bytes", input.largest);
    }
    assert!(whole > DECODED && refused > DECODED / 10, "{whole} {refused}");
}

#[test]
fn the_agent_survives_any_input_and_ends_with_its_host() {
    let project = Project::new();
    let good = [b"PING\nRESUME\nCANCEL 1\nTEST t/none_test.sh\nFRAMES\n", &frames()[..]].concat();
    for seed in 1..=AGENTS {
        let mut agent = Agent::start(&project);
        let began = Instant::now();
        let stream = agent.stream.get_mut();
        stream.write_all(&mutation(&good, seed)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut said = Vec::new();
        // The kit's reader gives up at the deadline. An agent that is gone may reset the
        // connection.
        let _ = agent.stream.read_to_end(&mut said);
        let status = agent.child.wait().unwrap();
        assert!(began.elapsed() < DEADLINE, "seed {seed} hangs");
        assert!(matches!(status.code(), Some(0 | 1)), "seed {seed}: {status}");
    }
}
