//! Several machines as one: a test runs on the first and drives the others. They are connected by
//! wires that nothing else is on.
//!
//! A group is made for one test and ends with it. Its machines are as pristine as any: each is a
//! copy of the template of its shape.

use super::drive::{Fault, Left, NodeEvent};
use super::fork::{ForkPoint, Paused};
use super::interface::{Forked, Machine, Order, Phase, Ran, Sink, Warn};
use super::launch::{Placement, boot_failure, killed};
use super::relay::{CommandRelay, RelaySink, RemoteNode, forward_replies};
use super::remote_commands::RemoteCommands;
use super::vm::Vm;
use crate::cancel::{Cancel, Level};
use crate::error::plain;
use crate::events::trouble::{ConsoleTail, Trouble};
use crate::guest::client::Writer;
use crate::qemu::ethernet_hub::EthernetHub;
use crate::shape::Node;
use agent::wire::{self, Ended, Frame};
use crossbeam::channel::{Receiver, Sender, bounded, select};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many frames of nodes' output, each of up to 64 KiB, may wait for the worker; after that a
/// node waits.
const NODE_EVENTS_MAX: usize = 32;

/// A permit for each machine that may be in a group at the same time. They bound the number of
/// machines: at most three per worker, or two per worker and one group.
pub(super) struct GroupPermits {
    free: (Sender<()>, Receiver<()>),
    count: usize,
    /// Held while permits are taken, so that two groups never wait for each other.
    turn: Mutex<()>,
}

/// The permits of one group; dropping them gives them back.
pub(super) struct GroupPermit {
    free: Sender<()>,
    count: usize,
}

impl GroupPermits {
    /// Permits for `count` machines.
    pub(super) fn new(count: usize) -> Self {
        let free = bounded(count);
        for _ in 0..count {
            let _ = free.0.try_send(()); // the channel has room for `count`
        }
        Self { free, count, turn: Mutex::default() }
    }

    /// Waits for permits for `wanted` machines. A group that is larger than all permits takes all
    /// of them.
    ///
    /// # Errors
    /// `Killed` when `cancel` reached `Cut` first.
    pub(super) fn take(&self, wanted: usize, cancel: &Cancel) -> Result<GroupPermit, Trouble> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut permit = GroupPermit { free: self.free.0.clone(), count: 0 };
        while permit.count < wanted.min(self.count) {
            select! {
                recv(self.free.1) -> _ => permit.count += 1,
                recv(cancel.on(Level::Cut)) -> _ => return Err(killed(ConsoleTail::default())),
            }
        }
        Ok(permit)
    }
}

impl Drop for GroupPermit {
    fn drop(&mut self) {
        for _ in 0..self.count {
            let _ = self.free.try_send(()); // there is room for what was taken
        }
    }
}

/// Several machines, each with a node's name. On drop the connections close before their machines
/// end, and the machines end before the wires.
pub(super) struct Group {
    name: String,
    members: Vec<Member>,
    /// Its nodes, for groups that go on where this one is frozen.
    nodes: Vec<Node>,
    /// The commands that ran when it was frozen.
    commands: RemoteCommands,
    _hubs: Vec<EthernetHub>,
    _permit: GroupPermit,
}

struct Member {
    name: String,
    vm: Vm,
}

/// Makes the machine of the node with this index in its placement.
pub(super) type Boot<'a> =
    &'a (dyn Fn(Placement<'_>, usize, Warn<'_>) -> Result<Vm, Trouble> + Sync);

/// Makes the machines of `nodes` in parallel, on wires whose sockets are in `run_dir`.
///
/// # Errors
/// The trouble of the first node that did not start.
pub(super) fn assemble(
    nodes: &[Node],
    run_dir: &Path,
    permit: GroupPermit,
    commands: RemoteCommands,
    boot: Boot<'_>,
    warn: Warn<'_>,
) -> Result<Group, Trouble> {
    let hubs = hubs(nodes, run_dir).map_err(boot_failure)?;
    let warnings = Mutex::new(Vec::new());
    let make = |(number, node): (u8, &Node)| {
        let sockets: Vec<PathBuf> =
            node.wires.iter().filter_map(|&at| Some(hubs.get(at)?.path().to_owned())).collect();
        let placement = Placement { name: Some((&node.name, number)), hubs: &sockets };
        let warn = |text| warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        let vm = boot(placement, usize::from(number) - 1, &warn);
        vm.map(|vm| Member { name: node.name.clone(), vm })
            .map_err(|t| of_node(&node.name, None, t))
    };
    let members: Result<Vec<Member>, Trouble> = std::thread::scope(|scope| {
        let start = |numbered| scope.spawn(move || make(numbered));
        let started: Vec<_> = (1..).zip(nodes).map(start).collect();
        let panicked = || boot_failure("a thread that makes machines panicked".to_owned());
        let made =
            started.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(panicked())));
        made.collect::<Vec<_>>().into_iter().collect()
    });
    warnings.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().for_each(warn);
    let members = members?;
    let names: Vec<&str> = members.iter().map(|member| member.vm.name()).collect();
    let (name, nodes) = (names.join("+"), nodes.to_vec());
    Ok(Group { name, members, nodes, commands, _hubs: hubs, _permit: permit })
}

fn hubs(nodes: &[Node], run_dir: &Path) -> Result<Vec<EthernetHub>, String> {
    static MADE: AtomicU32 = AtomicU32::new(1);
    let count = nodes.iter().flat_map(|node| &node.wires).max().map_or(0, |last| last + 1);
    let hub = |_| {
        let path = run_dir.join(format!("wire{}", MADE.fetch_add(1, Ordering::Relaxed)));
        EthernetHub::new(&path)
            .map_err(|e| format!("cannot make `{}`: {}", path.display(), plain(&e)))
    };
    (0..count).map(hub).collect()
}

/// Adds the node's name to `trouble`, and the machine's name if there was a machine: its logs have
/// that name.
fn of_node(node: &str, machine: Option<&str>, trouble: Trouble) -> Trouble {
    let machine = machine.map(|name| format!(" ({name})")).unwrap_or_default();
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
        let (sender, node_events) = bounded(NODE_EVENTS_MAX);
        let lost = AtomicUsize::new(0);
        let Some((first, others)) = self.members.split_first_mut() else {
            return Err(boot_failure("a group without nodes".to_owned()));
        };
        let order = Order { env: env(first), ..order.clone() };
        let nodes: Vec<RemoteNode> = others
            .iter_mut()
            .filter_map(|other| {
                let env = env(other);
                other.remote_node(env)
            })
            .collect();
        let Some((_, back)) = first.vm.connection() else {
            return Err(boot_failure("the first node has no agent".to_owned()));
        };
        let relay = CommandRelay::new(nodes, back, std::mem::take(&mut self.commands));
        let (stop, stopped) = bounded(0);
        let ran = std::thread::scope(|scope| {
            for at in 0..relay.nodes().len() {
                let (relay, lost, sender, stopped) =
                    (&relay, &lost, sender.clone(), stopped.clone());
                scope.spawn(move || {
                    if let Err(fault) = forward_replies(relay, at, &sender, &stopped) {
                        lost.store(at + 1, Ordering::Relaxed);
                        // Nobody listens any more once the test has ended.
                        let _ = sender.send(NodeEvent::Lost(fault));
                    }
                });
            }
            let mut sink = RelaySink { sink, relay: &relay };
            let ran = first.vm.run_with_nodes(node_events, &order, cancel, &mut sink);
            if !matches!(ran, Ok(Left::Forking(..))) {
                relay.cancel_all();
            }
            drop(stop);
            ran
        });
        match ran {
            Ok(Left::Ended(ran)) => Ok(ran),
            Ok(Left::Forking(paused, names)) => {
                let commands = relay.commands();
                drop(relay);
                let point = match self.freeze(paused, commands) {
                    Ok(point) => Some(Arc::new(point)),
                    Err(error) => {
                        sink.note(&format!("the machines cannot be frozen: {}", plain(&error)));
                        None
                    }
                };
                Ok(Ran { forked: Some(Forked { names, point }), ..Ran::default() })
            }
            Err(fault) => Err(self.trouble(lost.into_inner(), fault)),
        }
    }

    /// On every node, one after the other.
    fn set_up(
        &mut self,
        order: &Order,
        cancel: &Cancel,
        sink: &mut dyn Sink,
    ) -> Result<Ran, Trouble> {
        let mut last = Ran::default();
        for Member { name, vm } in &mut self.members {
            let node = [(wire::NODE, &name[..]), ("ORCA_VM", vm.name())];
            let own = node.map(|(name, value)| (name.into(), value.into()));
            let order = Order { env: [&order.env[..], &own[..]].concat(), ..order.clone() };
            last = vm.run(&order, cancel, sink)?;
            if last.cut.is_some() || last.ended != Ended::default() {
                break;
            }
        }
        Ok(last)
    }

    fn phases(&self) -> &[Phase] {
        self.members.first().map_or(&[], |first| first.vm.phases())
    }

    fn connection(&self) -> Option<(Receiver<Frame>, Writer)> {
        self.members.first().and_then(|first| first.vm.connection())
    }

    fn stop(self: Box<Self>) {
        for member in self.members {
            Box::new(member.vm).stop();
        }
    }
}

impl Group {
    /// Lets the test `paused` go on in it.
    pub(super) fn with_paused(mut self, paused: Paused) -> Self {
        if let Some(first) = self.members.first_mut() {
            first.vm.pause(paused);
        }
        self
    }

    /// Freezes all machines as they run: they are stopped together, so that none of them runs
    /// while another does not. A frame that is on a wire then may be lost, as on any wire.
    fn freeze(&mut self, paused: Paused, commands: RemoteCommands) -> io::Result<ForkPoint> {
        for member in &mut self.members {
            member.vm.hush()?;
        }
        for member in &mut self.members {
            member.vm.stop_running()?;
        }
        let machines = self.members.iter_mut().map(|member| member.vm.freeze());
        let machines = machines.collect::<io::Result<_>>()?;
        Ok(ForkPoint { paused, machines, nodes: self.nodes.clone(), commands })
    }

    /// The trouble that follows from a `fault` of the node with this index.
    fn trouble(&mut self, at: usize, fault: Fault) -> Trouble {
        match self.members.get_mut(at) {
            Some(Member { name, vm }) => {
                let trouble = vm.trouble(fault);
                of_node(name, Some(vm.name()), trouble)
            }
            None => boot_failure(fault.detail),
        }
    }
}

impl Member {
    /// This node, as commands with the environment `env` see it; `None` if it has no agent.
    fn remote_node(&mut self, env: Vec<(Vec<u8>, Vec<u8>)>) -> Option<RemoteNode> {
        let unheard = self.vm.guest().take_kept();
        let (inbox, writer) = self.vm.connection()?;
        let (panicked, ping) = (self.vm.panicked(), self.vm.timeouts().ping);
        Some(RemoteNode { name: self.name.clone(), env, inbox, unheard, writer, panicked, ping })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel;
    use crate::events::trouble::Kind;

    #[test]
    fn permits_are_taken_together_and_given_back() {
        let (mut canceller, cancel) = cancel::channel();
        let permits = GroupPermits::new(4);
        let two = permits.take(2, &cancel).unwrap();
        std::thread::scope(|scope| {
            let three = scope.spawn(|| permits.take(3, &cancel).map(|permit| permit.count));
            drop(two);
            assert_eq!(three.join().unwrap(), Ok(3));
        });
        let all = permits.take(8, &cancel).unwrap();
        assert_eq!(all.count, 4, "a group that is larger takes all permits");
        canceller.raise(cancel::Level::Cut);
        assert_eq!(
            permits.take(1, &cancel).map(|permit| permit.count).unwrap_err().kind,
            Kind::Killed
        );
        drop(all);
        let (_canceller, cancel) = cancel::channel();
        assert_eq!(permits.take(4, &cancel).unwrap().count, 4);
    }
}
