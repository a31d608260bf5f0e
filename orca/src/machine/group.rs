//! Several machines as one: a test runs on the first and drives the others, over wires that nothing else is on.
//!
//! A group is made for one test and ends with it. Its machines are as pristine as any: each is a copy of the template of its shape.

use super::drive::{Aside, Fault};
use super::launch::Place;
use super::relay::{self, Desk, End};
use super::vm::Vm;
use super::{Machine, Order, Phase, Ran, Sink, Tell};
use crate::cancel::{Cancel, Level};
use crate::error::plain;
use crate::events::trouble::{Kind, Trouble};
use crate::guest::client::Writer;
use crate::qemu::ethernet_hub::EthernetHub;
use crate::shape::Node;
use agent::wire::{self, Frame};
use crossbeam::channel::{Receiver, Sender, bounded, select};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What nodes print that may wait for the worker, in frames of up to 64 KiB: behind them a node waits.
const ASIDES: usize = 32;

/// How many machines may be in groups at the same time.
pub(super) struct Berths {
    free: (Sender<()>, Receiver<()>),
    count: usize,
    /// Held by whoever takes several, so that two never wait for each other.
    turn: Mutex<()>,
}

/// Room for a group; given back when dropped.
pub(super) struct Berth(Sender<()>, usize);

impl Berths {
    /// Room for `count` machines.
    pub(super) fn new(count: usize) -> Self {
        let free = bounded(count);
        for _ in 0..count {
            let _ = free.0.try_send(()); // it is as large as that
        }
        Self { free, count, turn: Mutex::default() }
    }

    /// Waits for room for `wanted` machines; for all the room there is where that is less.
    ///
    /// # Errors
    /// `Killed` when `cancel` reached `Cut` first.
    pub(super) fn take(&self, wanted: usize, cancel: &Cancel) -> Result<Berth, Trouble> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut berth = Berth(self.free.0.clone(), 0);
        while berth.1 < wanted.min(self.count) {
            select! {
                recv(self.free.1) -> _ => berth.1 += 1,
                recv(cancel.on(Level::Cut)) -> _ => return Err(Trouble {
                    kind: Kind::Killed,
                    detail: "the run was told to end".to_owned(),
                    console: "<empty>".to_owned(),
                }),
            }
        }
        Ok(berth)
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        for _ in 0..self.1 {
            let _ = self.0.try_send(()); // what was taken has room
        }
    }
}

/// See the module. Connections close before their machines end, and those before the wires.
pub(super) struct Group {
    name: String,
    members: Vec<Member>,
    _wires: Vec<EthernetHub>,
    _berth: Berth,
}

struct Member {
    name: String,
    vm: Vm,
}

/// Makes one machine in its place, with so many cards on wires.
pub(super) type Boot<'a> = &'a (dyn Fn(Place<'_>, u32, Tell<'_>) -> Result<Vm, Trouble> + Sync);

/// Makes the machines of `nodes` side by side, on wires in `run_dir`.
///
/// # Errors
/// That of the first node that did not come up.
pub(super) fn assemble(
    nodes: &[Node],
    run_dir: &Path,
    berth: Berth,
    boot: Boot<'_>,
    tell: Tell<'_>,
) -> Result<Group, Trouble> {
    let wires = wires(nodes, run_dir).map_err(super::launch::boot)?;
    let said = Mutex::new(Vec::new());
    let make = |(number, node): (u8, &Node)| {
        let sockets: Vec<PathBuf> =
            node.wires.iter().filter_map(|&at| Some(wires.get(at)?.path().to_owned())).collect();
        let place = Place { name: Some((&node.name, number)), wires: &sockets };
        let tell = |text| said.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        let vm = boot(place, sockets.len() as u32, &tell);
        vm.map(|vm| Member { name: node.name.clone(), vm }).map_err(|t| of_node(&node.name, "", t))
    };
    let members: Result<Vec<Member>, Trouble> = std::thread::scope(|scope| {
        let start = |numbered| scope.spawn(move || make(numbered));
        let started: Vec<_> = (1..).zip(nodes).map(start).collect();
        let panicked = || super::launch::boot("a thread that makes machines panicked".to_owned());
        let made =
            started.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(panicked())));
        made.collect::<Vec<_>>().into_iter().collect()
    });
    said.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().for_each(tell);
    let members = members?;
    let names: Vec<&str> = members.iter().map(|member| member.vm.name()).collect();
    Ok(Group { name: names.join("+"), members, _wires: wires, _berth: berth })
}

fn wires(nodes: &[Node], run_dir: &Path) -> Result<Vec<EthernetHub>, String> {
    static MADE: AtomicU32 = AtomicU32::new(1);
    let count = nodes.iter().flat_map(|node| &node.wires).max().map_or(0, |last| last + 1);
    let wire = |_| {
        let path = run_dir.join(format!("wire{}", MADE.fetch_add(1, Ordering::Relaxed)));
        EthernetHub::new(&path)
            .map_err(|e| format!("cannot make `{}`: {}", path.display(), plain(&e)))
    };
    (0..count).map(wire).collect()
}

/// The trouble, with the name of its node; `machine` is what its logs are called by.
fn of_node(node: &str, machine: &str, trouble: Trouble) -> Trouble {
    let machine = if machine.is_empty() { String::new() } else { format!(" ({machine})") };
    let detail = format!("node `{node}`{machine}: {}", trouble.detail);
    Trouble { detail, ..trouble }
}

impl Machine for Group {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&mut self, order: &Order, cancel: &Cancel, sink: &mut dyn Sink) -> Result<Ran, Trouble> {
        let all: Vec<&str> = self.members.iter().map(|member| &member.name[..]).collect();
        let nodes = all.join(" ");
        let env = |member: &Member| {
            let own = [
                (wire::NODE, &member.name[..]),
                (wire::NODES, &nodes),
                ("ORCA_VM", member.vm.name()),
            ];
            let own =
                own.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            [&order.env[..], &own[..]].concat()
        };
        let (tell, asides) = bounded(ASIDES);
        let lost = AtomicUsize::new(0);
        let Some((first, others)) = self.members.split_first_mut() else {
            return Err(super::launch::boot("a group without nodes".to_owned()));
        };
        let order = Order { env: env(first), ..order.clone() };
        let ends: Vec<End> = others.iter().filter_map(|other| End::of(other, env(other))).collect();
        let Some((_, back)) = first.vm.ends() else {
            return Err(super::launch::boot("the first node has no agent".to_owned()));
        };
        let desk = Desk::new(ends, back);
        let (stop, stopped) = bounded(0);
        let ran = std::thread::scope(|scope| {
            for at in 0..desk.ends().len() {
                let (desk, lost, tell, stopped) = (&desk, &lost, tell.clone(), stopped.clone());
                scope.spawn(move || {
                    if let Err(fault) = relay::attend(desk, at, &tell, &stopped) {
                        lost.store(at + 1, Ordering::Relaxed);
                        // Who does not listen has ended the test already.
                        let _ = tell.send(Aside::Lost(fault));
                    }
                });
            }
            let mut sink = relay::Asking { sink, desk: &desk };
            let ran = first.vm.run_beside(asides, &order, cancel, &mut sink);
            desk.cancel_all();
            drop(stop);
            ran
        });
        ran.map_err(|fault| self.trouble(lost.into_inner(), fault))
    }

    fn phases(&self) -> &[Phase] {
        self.members.first().map_or(&[], |first| first.vm.phases())
    }

    fn ends(&self) -> Option<(Receiver<Frame>, Writer)> {
        self.members.first().and_then(|first| first.vm.ends())
    }

    fn stop(self: Box<Self>) {
        for member in self.members {
            Box::new(member.vm).stop();
        }
    }
}

impl Group {
    /// The trouble that `fault` of the node with this index was.
    fn trouble(&mut self, at: usize, fault: Fault) -> Trouble {
        match self.members.get_mut(at) {
            Some(Member { name, vm }) => {
                let trouble = vm.trouble(fault);
                of_node(name, vm.name(), trouble)
            }
            None => super::launch::boot(fault.detail),
        }
    }
}

impl End {
    fn of(member: &Member, env: Vec<(Vec<u8>, Vec<u8>)>) -> Option<Self> {
        let (inbox, writer) = member.vm.ends()?;
        let (panicked, hung) = (member.vm.panicked(), member.vm.bounds().hung);
        Some(Self { name: member.name.clone(), env, inbox, writer, panicked, hung })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel;

    #[test]
    fn room_is_taken_whole_and_given_back() {
        let (mut canceller, cancel) = cancel::channel();
        let berths = Berths::new(4);
        let two = berths.take(2, &cancel).unwrap();
        std::thread::scope(|scope| {
            let three = scope.spawn(|| berths.take(3, &cancel).map(|berth| berth.1));
            drop(two);
            assert_eq!(three.join().unwrap(), Ok(3));
        });
        let all = berths.take(8, &cancel).unwrap();
        assert_eq!(all.1, 4, "a group that is larger than the room has all of it");
        canceller.raise(cancel::Level::Cut);
        assert_eq!(berths.take(1, &cancel).map(|berth| berth.1).unwrap_err().kind, Kind::Killed);
        drop(all);
        let (_canceller, cancel) = cancel::channel();
        assert_eq!(berths.take(4, &cancel).unwrap().1, 4);
    }
}
