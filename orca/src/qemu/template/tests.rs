//! Templates without machines: any files will do.

use super::*;
use crate::arch::{Accel, Arch};
use std::os::unix::fs::FileExt;

struct Cache(PathBuf);

impl Cache {
    fn new() -> Self {
        Self(nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-cache-XXXXXX")).unwrap())
    }

    fn store(&self) -> Store {
        Store::new(&self.0)
    }

    fn make(&self, key: &str) {
        let stage = self.store().stage(key).unwrap();
        fs::write(stage.ram(), vec![7; 100_000]).unwrap();
        fs::write(stage.state(), b"devices").unwrap();
        stage.publish("a test").unwrap();
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn ram(template: &Template) -> Vec<u8> {
    fs::read(sys::path_of(template.ram.as_ref().unwrap())).unwrap()
}

const KEY: &str = "0123456789abcdef";

#[test]
fn a_template_is_there_whole_or_not_at_all() {
    let cache = Cache::new();
    assert!(cache.store().open(KEY).unwrap().is_none());
    let stage = cache.store().stage(KEY).unwrap();
    fs::write(stage.ram(), b"half").unwrap();
    drop(stage);
    assert!(cache.store().open(KEY).unwrap().is_none());
    cache.make(KEY);
    let template = cache.store().open(KEY).unwrap().unwrap();
    assert_eq!(ram(&template).len(), 100_000);
    assert_eq!(cache.store().list().len(), 1);
}

#[test]
fn damage_to_any_part_is_found_and_the_template_removed() {
    for (part, at) in [("ram", 99_999), ("state", 3), (META, 0)] {
        let cache = Cache::new();
        cache.make(KEY);
        let path = cache.store().0.path(KEY).join(part);
        File::options().write(true).open(&path).unwrap().write_all_at(b"!", at).unwrap();
        let why = cache.store().open(KEY).unwrap_err();
        assert!(why.contains(part), "{why}");
        assert!(cache.store().open(KEY).unwrap().is_none());
        cache.make(KEY);
        fs::remove_file(&path).unwrap();
        assert!(!matches!(cache.store().open(KEY), Ok(Some(_))));
        cache.make(KEY);
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let why = cache.store().open(KEY).unwrap_err();
        assert!(why.contains("not a regular file") && why.contains(part), "{why}");
    }
}

#[test]
fn the_least_recently_used_goes_first_and_one_in_use_stays_usable() {
    let cache = Cache::new();
    let (old, new) = ("1111111111111111", "2222222222222222");
    cache.make(old);
    cache.make(new);
    let in_use = cache.store().open(old).unwrap().unwrap();
    let keys = || cache.store().list().into_iter().map(|entry| entry.key).collect::<Vec<_>>();
    assert_eq!(keys(), [old, new]);
    Store::bounded(&cache.0, 150_000).0.prune();
    assert_eq!(keys(), [old]);
    cache.make(new);
    Store::bounded(&cache.0, 0).0.prune();
    assert_eq!(keys(), [new]);
    assert_eq!(ram(&in_use), vec![7; 100_000]);
    let mut state = String::new();
    io::Read::read_to_string(&mut in_use.state().unwrap(), &mut state).unwrap();
    assert_eq!(state, "devices");
}

#[test]
fn the_key_follows_the_machine_and_not_the_project() {
    let cache = Cache::new();
    let file = |name: &str| {
        let path = cache.0.join(name);
        fs::write(&path, name).unwrap();
        path
    };
    let spec = Spec {
        program: file("qemu"),
        arch: Arch::X86_64,
        accel: Accel::Tcg,
        kernel: file("kernel"),
        initrd: file("initrd"),
        rootfs: Some(file("rootfs")),
        host_root: false,
        modules: None,
        own_init: false,
        memory_mib: 512,
        cpus: 1,
        project: Project::Folder { path: "/a".into(), writable: false },
        net: false,
        wired_cards: 0,
        append: String::new(),
    };
    let key = |spec: &Spec| super::key(spec, "settle").unwrap();
    let first = key(&spec);
    let other = Project::Folder { path: "/b".into(), writable: true };
    assert_eq!(first, key(&Spec { project: other, ..spec.clone() }));
    assert_ne!(first, key(&Spec { project: Project::Disk, ..spec.clone() }));
    assert_ne!(first, key(&Spec { memory_mib: 1024, ..spec.clone() }));
    assert_ne!(first, key(&Spec { append: "quiet".into(), ..spec.clone() }));
    assert_ne!(first, super::key(&spec, "other").unwrap());
    fs::write(cache.0.join("initrd"), "another agent").unwrap();
    assert_ne!(first, key(&spec));
}
