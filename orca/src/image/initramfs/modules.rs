//! What `depmod` knows: which module needs which, in what order, and what the kernel has built in.

use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The folder that `depmod` wrote its tables into, read.
#[derive(Debug, Default)]
pub struct Tree {
    /// By module name: its file, and the files it depends on, both relative to the folder.
    modules: BTreeMap<String, Module>,
    builtin: BTreeSet<String>,
    /// By module name: what modprobe loads before it without its asking for a symbol.
    before: BTreeMap<String, Vec<String>>,
    /// By alias without wildcards: who provides it.
    aliases: BTreeMap<String, Vec<String>>,
}

#[derive(Debug)]
struct Module {
    file: String,
    needs: Vec<String>,
}

/// The name of a module, from its file's path or as a person types it: `virtio-rng.ko.xz` is
/// `virtio_rng`.
pub fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

impl Tree {
    /// Reads the tables in `dir`, which is a `/lib/modules/<release>`.
    ///
    /// # Errors
    /// `modules.dep` cannot be read. The other tables may be missing.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("modules.dep");
        let dep = fs::read_to_string(&path)
            .map_err(|e| Error::io("read", &path, &e).hint(how_to_make(dir)))?;
        let table = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
        let (builtin, soft) = (table("modules.builtin"), table("modules.softdep"));
        Ok(Self::parse(&dep, &builtin, &soft, &table("modules.alias")))
    }

    /// The same from the tables' text.
    pub fn parse(dep: &str, builtin: &str, soft: &str, alias: &str) -> Self {
        let mut tree = Self::default();
        for line in dep.lines() {
            if let Some((file, needs)) = line.split_once(':') {
                let needs = needs.split_whitespace().map(str::to_owned).collect();
                tree.modules.insert(name_of(file), Module { file: file.to_owned(), needs });
            }
        }
        tree.builtin = builtin.lines().map(name_of).collect();
        for line in soft.lines() {
            if let Some((module, rest)) = words_after(line, "softdep") {
                let before = rest.iter().skip_while(|w| **w != "pre:").skip(1);
                let before = before.take_while(|w| **w != "post:").map(|w| (*w).to_owned());
                tree.before.entry(name_of(module)).or_default().extend(before);
            }
        }
        for line in alias.lines() {
            if let Some((alias, rest)) =
                words_after(line, "alias").filter(|(a, _)| !a.contains('*'))
            {
                let providers = rest.iter().map(|module| name_of(module));
                tree.aliases.entry(alias.to_owned()).or_default().extend(providers);
            }
        }
        tree
    }

    /// Whether the kernel has `name`, as a module or built in.
    pub fn has(&self, name: &str) -> bool {
        let name = name_of(name);
        self.modules.contains_key(&name) || self.builtin.contains(&name)
    }

    /// The files of the modules called `wanted` and of all they need, in an order in which they can
    /// be loaded. What is built in needs no file; what is not there at all is left out (ask
    /// [`Tree::has`]).
    pub fn closure<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut walk = Walk { tree: self, seen: BTreeSet::new(), order: Vec::new() };
        for name in wanted {
            walk.visit(&name_of(name));
        }
        walk.order
    }

    /// The module behind a name in a softdep: itself or, of an alias's providers, the one that runs
    /// on every CPU.
    fn resolve(&self, name: &str) -> Option<String> {
        let module = name_of(name);
        if self.has(&module) {
            return Some(module);
        }
        let providers = self.aliases.get(name)?;
        providers.iter().find(|p| p.ends_with("_generic")).or(providers.first()).cloned()
    }
}

/// How the tables of `dir` are made: a package that was unpacked and not installed has none yet.
fn how_to_make(dir: &Path) -> String {
    let release = dir.file_name().unwrap_or_default().display();
    match dir.ancestors().nth(3) {
        Some(base) if dir.ends_with(Path::new("lib/modules").join(release.to_string())) => {
            let base = if base == Path::new("") { Path::new(".") } else { base };
            format!("run `depmod -b {} {release}`, or name another folder", base.display())
        }
        _ => "run `depmod` for this kernel, or name its folder".to_owned(),
    }
}

/// The second word of a line that begins with `keyword`, and the words behind it.
fn words_after<'a>(line: &'a str, keyword: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let mut words = line.split_whitespace();
    (words.next()? == keyword).then_some(())?;
    Some((words.next()?, words.collect()))
}

struct Walk<'a> {
    tree: &'a Tree,
    seen: BTreeSet<String>,
    order: Vec<String>,
}

impl Walk<'_> {
    /// Bounded by the table: each module is entered once, a circle of softdeps included.
    fn visit(&mut self, name: &str) {
        let Some(module) = self.tree.modules.get(name) else { return };
        if !self.seen.insert(name.to_owned()) {
            return;
        }
        for soft in self.tree.before.get(name).into_iter().flatten() {
            if let Some(soft) = self.tree.resolve(soft) {
                self.visit(&soft);
            }
        }
        // modules.dep has what must be loaded first at the end.
        for need in module.needs.iter().rev() {
            self.visit(&name_of(need));
        }
        self.order.push(module.file.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko
kernel/fs/jbd2/jbd2.ko:
kernel/lib/crc16.ko:
kernel/fs/mbcache.ko:
kernel/crypto/crc32c_generic.ko.xz:
kernel/arch/x86/crypto/crc32c-intel.ko.xz:
kernel/virtio/virtio_pci.ko.zst: kernel/virtio/virtio.ko.zst kernel/virtio/virtio_ring.ko.zst
kernel/virtio/virtio.ko.zst: kernel/virtio/virtio_ring.ko.zst
kernel/virtio/virtio_ring.ko.zst:
kernel/drivers/char/virtio-rng.ko: kernel/virtio/virtio.ko.zst kernel/virtio/virtio_ring.ko.zst
kernel/a/a.ko:
kernel/a/b.ko:
";
    const BUILTIN: &str =
        "kernel/drivers/virt/vmgenid.ko\nkernel/drivers/tty/serial/8250/8250-base.ko\n";
    const SOFT: &str = "# comment\nsoftdep ext4 pre: crypto-crc32c\n\
                        softdep jbd2 pre: crypto-crc32c post: a\n\
                        softdep a pre: b\nsoftdep b pre: a nothing\n";
    const ALIAS: &str =
        "alias crypto-crc32c crc32c_intel\nalias crypto-crc32c crc32c_generic\nalias pci:v*d* x\n";

    fn tree() -> Tree {
        Tree::parse(DEP, BUILTIN, SOFT, ALIAS)
    }

    fn check(wanted: &[&str], expected: &[&str]) {
        let files = tree().closure(wanted.iter().copied());
        let names: Vec<_> = files.iter().map(|file| name_of(file)).collect();
        assert_eq!(names, expected, "{wanted:?}");
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        check(&["virtio_pci"], &["virtio_ring", "virtio", "virtio_pci"]);
        check(
            &["virtio_pci", "virtio-rng"],
            &["virtio_ring", "virtio", "virtio_pci", "virtio_rng"],
        );
        check(&["vmgenid", "no_such_module"], &[]);
    }

    #[test]
    fn a_softdep_on_an_alias_takes_the_provider_for_every_cpu() {
        check(&["ext4"], &["crc32c_generic", "jbd2", "mbcache", "crc16", "ext4"]);
    }

    #[test]
    fn a_circle_of_softdeps_ends() {
        check(&["a"], &["b", "a"]);
        check(&["b", "a"], &["a", "b"]);
    }

    #[test]
    fn a_module_and_a_built_in_are_both_there() {
        let tree = tree();
        assert!(tree.has("virtio_rng") && tree.has("virtio-rng") && tree.has("vmgenid"));
        assert!(tree.has("8250_base") && !tree.has("9p"));
    }

    #[test]
    fn a_missing_table_is_named() {
        let error = Tree::read(Path::new("/proc/nowhere/lib/modules/6.1")).unwrap_err();
        let expected =
            "cannot read `/proc/nowhere/lib/modules/6.1/modules.dep`: no such file or directory";
        assert_eq!(error.to_string(), expected);
        assert!(error.next_step().is_some_and(|hint| hint.contains("depmod")));
    }
}
