//! `nodes=server,client`: the machines of a test that has several, and the wires between them.
//! There is one wire for all, or those that `nodes=client:a,router:a+b,server:b` names.

use crate::error::{Error, Result};
use crate::shape::Node;

/// The most machines of one test.
const NODES_MAX: usize = 8;
/// The most network cards of one machine.
const CARDS_MAX: usize = 4;
/// The longest name, in bytes.
const NAME_MAX: usize = 32;

/// Reads the value of `nodes=`.
pub(super) fn parse(text: &str) -> Result<Vec<Node>> {
    let items: Vec<(&str, Option<&str>)> = text
        .split(',')
        .map(|item| item.split_once(':').map_or((item, None), |(name, on)| (name, Some(on))))
        .collect();
    for (at, (name, _)) in items.iter().enumerate() {
        check_name("node", name)?;
        if items[..at].iter().any(|(other, _)| other == name) {
            return Err(Error::new(format!("two nodes are called `{name}`"))
                .hint("give each a name of its own"));
        }
    }
    if !(2..=NODES_MAX).contains(&items.len()) {
        let error = format!("`nodes` takes 2 to {NODES_MAX} names, not {}", items.len());
        return Err(Error::new(error).hint("name them with commas between, such as server,client"));
    }
    if items.iter().all(|(_, on)| on.is_none()) {
        let node = |(name, _): &(&str, _)| Node { name: (*name).to_owned(), wires: vec![0] };
        return Ok(items.iter().map(node).collect());
    }
    wired(&items)
}

/// The nodes with the named wires of each.
fn wired(items: &[(&str, Option<&str>)]) -> Result<Vec<Node>> {
    let (mut nodes, mut known) = (Vec::new(), Vec::<(&str, usize)>::new());
    for &(name, on) in items {
        let Some(on) = on else {
            return Err(Error::new(format!("`{name}` is on no wire"))
                .hint(format!("say which, such as {name}:a, or name no wires at all")));
        };
        let mut wires = Vec::new();
        for wire in on.split('+') {
            check_name("wire", wire)?;
            let at = known.iter().position(|(other, _)| *other == wire).unwrap_or(known.len());
            if at == known.len() {
                known.push((wire, 0));
            }
            if wires.contains(&at) {
                return Err(Error::new(format!("`{name}` is on wire `{wire}` twice")));
            }
            known[at].1 += 1;
            wires.push(at);
        }
        if wires.len() > CARDS_MAX {
            return Err(Error::new(format!("`{name}` is on more than {CARDS_MAX} wires")));
        }
        nodes.push(Node { name: name.to_owned(), wires });
    }
    match known.iter().find(|(_, ends)| *ends == 1) {
        Some((wire, _)) => Err(Error::new(format!("wire `{wire}` has one end only"))
            .hint(format!("put another node on it, such as name:{wire}"))),
        None => Ok(nodes),
    }
}

/// Checks that a name can be a hostname: lower-case letters, digits, hyphens inside.
fn check_name(what: &str, name: &str) -> Result<()> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = !name.is_empty()
        && name.len() <= NAME_MAX
        && name.chars().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if good {
        return Ok(());
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let near: String = name.chars().take(NAME_MAX).map(plain).collect();
    let near = near.trim_matches('-');
    let error = Error::new(format!(
        "the name of a {what} is 1 to {NAME_MAX} of a-z, 0-9 and, inside, `-`, not `{name}`"
    ));
    Err(if near.is_empty() { error } else { error.hint(format!("did you mean `{near}`?")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_on_one_wire_or_on_those_that_are_named() {
        let nodes = |text| {
            let nodes = parse(text).unwrap().into_iter();
            nodes.map(|node| (node.name, node.wires)).collect::<Vec<_>>()
        };
        let node = |name: &str, wires: &[usize]| (name.to_owned(), wires.to_vec());
        assert_eq!(nodes("server,client"), [node("server", &[0]), node("client", &[0])]);
        assert_eq!(
            nodes("client:in,router:in+out,server:out"),
            [node("client", &[0]), node("router", &[0, 1]), node("server", &[1])]
        );
    }

    #[test]
    fn every_mistake_is_told() {
        let check = |text: &str, why: &str, hint: Option<&str>| {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
            assert_eq!(error.next_step(), hint, "{text}");
        };
        let commas = Some("name them with commas between, such as server,client");
        check("one", "takes 2 to 8 names, not 1", commas);
        check("a,b,c,d,e,f,g,h,i", "names, not 9", commas);
        check("a,a", "two nodes are called `a`", Some("give each a name of its own"));
        check("Web_1,b", "not `Web_1`", Some("did you mean `web-1`?"));
        check("a,", "inside, `-`, not ``", None);
        let which = "say which, such as b:a, or name no wires at all";
        check("a:x,b", "`b` is on no wire", Some(which));
        check("a:x,b:x+y", "`y` has one end only", Some("put another node on it, such as name:y"));
        check("a:x+x,b:x", "`a` is on wire `x` twice", None);
        check("a:,b:", "the name of a wire", None);
        check("a:1+2+3+4+5,b:1", "`a` is on more than 4 wires", None);
    }
}
