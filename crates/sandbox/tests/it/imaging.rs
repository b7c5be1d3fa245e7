//! An image as the root: what a program sees, what it may change, and that the walls are the same.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use stint_sandbox::{Bind, ImageRoot, Inside, LaunchSpec, Network, RootFs, SandboxError};

use crate::escaping::{Canaries, SCRIPT, verdicts};
use crate::lab::{Lab, Mode, NOBODY, finish, modes, open_to_all, spec};

/// Written to the instance's own layer, which is what it is for.
const OWN_LAYER: &[&str] = &["write-usr", "write-root", "write-etc"];

/// Layers for one mode: owned by whom its instances are on the host.
struct Layers {
    lab: Lab,
    owner: u32,
    made: Vec<PathBuf>,
}

impl Layers {
    async fn open(mode: Mode) -> Self {
        let lab = Lab::open(mode).await;
        let owner = match mode {
            Mode::Nobody => NOBODY,
            Mode::Own | Mode::HostIds if crate::lab::is_root() => spec(&[]).user.uid,
            Mode::Own | Mode::HostIds => rustix::process::geteuid().as_raw(),
        };
        Self { lab, owner, made: Vec::new() }
    }

    /// A layer above those that are there.
    fn add(&mut self, fill: impl FnOnce(&Path)) {
        let dir = self.lab.dir.path().join(format!("layer{}", self.made.len()));
        std::fs::create_dir(&dir).unwrap();
        open_to_all(&dir);
        fill(&dir);
        if crate::lab::is_root() {
            let owner = format!("{0}:{0}", self.owner);
            let done = Command::new("chown").args(["-hR", &owner]).arg(&dir).status().unwrap();
            assert!(done.success());
        }
        self.made.insert(0, dir);
    }

    fn spec(&self, argv: &[&str], uid: u32) -> LaunchSpec {
        let root = RootFs::Image(ImageRoot { layers: self.made.clone() });
        let mut spec = spec(argv);
        spec.env = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        LaunchSpec { root, inside: Inside::alone(uid, uid), cwd: "/".into(), ..spec }
    }
}

/// A program with everything it needs from the dynamic loader.
fn program(dir: &Path, path: &str, modules: &Path) {
    let found = Command::new("sh")
        .arg("-c")
        .arg(format!("ldd {path} $(find {} -name '*.so')", modules.display()))
        .output()
        .unwrap();
    let text = String::from_utf8(found.stdout).unwrap();
    let mut files: Vec<&str> = text
        .split_whitespace()
        .map(|word| word.trim_end_matches(':'))
        .filter(|word| word.starts_with('/') && word.contains("/lib"))
        .filter(|word| !word.starts_with("/usr/lib/python"))
        .collect();
    files.sort_unstable();
    files.dedup();
    for file in files.into_iter().chain([path]) {
        let to = dir.join(file.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(file, to).unwrap();
    }
}

/// This machine's Python, as an image would have it.
fn python(dir: &Path) {
    let version = Command::new("/usr/bin/python3")
        .args(["-c", "import sys; print('python%d.%d' % sys.version_info[:2])"])
        .output()
        .unwrap();
    let library = format!("usr/lib/{}", String::from_utf8(version.stdout).unwrap().trim());
    std::fs::create_dir_all(dir.join("usr/lib")).unwrap();
    let from = Path::new("/").join(&library);
    let copied = Command::new("cp").arg("-r").arg(&from).arg(dir.join("usr/lib")).status().unwrap();
    assert!(copied.success());
    program(dir, "/usr/bin/python3", &from.join("lib-dynload"));
}

fn shell(dir: &Path) {
    for name in ["/bin/sh", "/usr/bin/cat", "/usr/bin/ls", "/usr/bin/id", "/usr/bin/env"] {
        program(dir, name, Path::new("/nonexistent"));
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn white_out(dir: &Path, name: &str) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o600), 0).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_lie_over_each_other_and_what_is_written_stays_in_the_instance() {
    for mode in modes() {
        let mut layers = Layers::open(mode).await;
        layers.add(|dir| {
            shell(dir);
            write(dir, "srv/low", "low");
            write(dir, "srv/both", "low");
            write(dir, "srv/gone", "low");
            write(dir, "etc/hosts", "theirs");
            std::os::unix::fs::symlink("/etc/shadow", dir.join("etc/resolv.conf")).unwrap();
        });
        layers.add(|dir| {
            write(dir, "srv/both", "high");
            white_out(dir, "srv/gone");
        });
        let script = "cat /srv/low /srv/both; ls /srv; echo new > /srv/both && cat /srv/both; \
                      cat /etc/hosts; cat /etc/resolv.conf; echo x > /dev/made; echo x > /etc/hosts; \
                      cat /etc/shadow; pwd";
        let mut spec = layers.spec(&["sh", "-c", script], 0);
        spec.cwd = "/work/deep".into();
        let outcome = layers.lab.run(spec).await;
        let out = outcome.out.replace('\n', " ");
        assert!(out.starts_with("lowhighboth low new 127.0.0.1 localhost"), "{mode:?} {outcome:?}");
        assert!(out.ends_with("/work/deep "), "{out}");
        for refused in
            ["/dev/made: Read-only", "/etc/hosts: Read-only", "/etc/shadow: No such file"]
        {
            let found = outcome.err.contains(refused.split(": ").next().unwrap());
            assert!(found, "{mode:?} {refused}: {}", outcome.err);
        }
        let again = layers.lab.run(layers.spec(&["/usr/bin/cat", "/srv/both"], 0)).await;
        assert_eq!(again.out, "high", "{mode:?}: another instance starts from the image");
        let below = layers.made[0].join("srv/both");
        assert_eq!(std::fs::read_to_string(below).unwrap(), "high");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_is_the_images_and_owns_its_root() {
    for mode in modes().into_iter().filter(|mode| *mode != Mode::HostIds) {
        let mut layers = Layers::open(mode).await;
        layers.add(|dir| {
            shell(dir);
            write(dir, "secret", "mine");
            let path = dir.join("secret");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        });
        for uid in [0, 321] {
            let script = "id -u; id -g; cat /secret; echo x > /made && ls -n /made";
            let outcome = layers.lab.run(layers.spec(&["sh", "-c", script], uid)).await;
            let ids = format!("{uid}\n{uid}\nmine");
            assert!(outcome.out.starts_with(&ids), "{mode:?} {outcome:?}");
            assert!(outcome.out.contains(&format!(" {uid} {uid} ")), "{mode:?} {outcome:?}");
        }
        let owner = std::fs::metadata(layers.made[0].join("secret")).unwrap().uid();
        assert_eq!(owner, layers.owner);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writable_layer_has_a_size() {
    for mode in modes() {
        let mut layers = Layers::open(mode).await;
        layers.add(shell);
        let script = "x=x; while [ ${#x} -lt 65536 ]; do x=$x$x; done; echo $x > /piece; \
                      while cat /piece >> /big; do :; done";
        let outcome = layers.lab.run(layers.spec(&["sh", "-c", script], 0)).await;
        assert!(outcome.err.contains("No space left"), "{mode:?} {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_in_the_image_says_so() {
    for mode in modes() {
        let mut layers = Layers::open(mode).await;
        layers.add(shell);
        for program in ["python3", "/usr/bin/python3"] {
            let failed = layers.lab.launcher.launch(layers.spec(&[program], 0)).await.unwrap_err();
            assert!(matches!(failed, SandboxError::Launch { errno: 2, .. }), "{mode:?} {failed}");
            assert!(failed.to_string().contains(&format!("executing {program}")), "{failed}");
        }
    }
}

/// The image has links in the places that everything is mounted on.
#[tokio::test(flavor = "multi_thread")]
async fn links_of_a_hostile_image_end_inside() {
    for mode in modes() {
        let mut layers = Layers::open(mode).await;
        let outside = tempfile::tempdir().unwrap();
        open_to_all(outside.path());
        layers.add(|dir| {
            shell(dir);
            for name in ["proc", "dev", "tmp", "code", "work"] {
                std::os::unix::fs::symlink(outside.path(), dir.join(name)).unwrap();
            }
        });
        let code = layers.lab.dir.path().join("code");
        std::fs::create_dir(&code).unwrap();
        open_to_all(&code);
        let mut spec = layers.spec(&["sh", "-c", "echo alive"], 0);
        spec.binds = vec![Bind::read_only(&code, "/code")];
        spec.cwd = "/work/here".into();
        // Whether it starts at all is the image's own trouble; the host's directory stays empty.
        if let Ok(launched) = layers.lab.launcher.launch(spec).await {
            finish(launched).await;
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "{mode:?}");
        let fine = layers.lab.sh("exit 0").await;
        assert_eq!(fine.code(), 0, "the spawner is as before");
    }
}

async fn inside(layers: &Layers, canaries: &Canaries, uid: u32) -> BTreeMap<String, bool> {
    let mut spec = layers.spec(&["/usr/bin/python3", "-I", "-S", "/code/escape.py"], uid);
    spec.argv.extend(canaries.arguments());
    let code = layers.lab.dir.path().join("code");
    std::fs::create_dir_all(&code).unwrap();
    open_to_all(&code);
    std::fs::write(code.join("escape.py"), SCRIPT).unwrap();
    spec.binds = vec![Bind::read_only(&code, "/code")];
    spec.network = Network::Loopback;
    let outcome = finish(layers.lab.launcher.launch(spec).await.unwrap()).await;
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    verdicts(&outcome.out)
}

/// The same attempts as in a process sandbox; that they are open outside is shown there.
#[cfg(target_arch = "x86_64")]
#[tokio::test(flavor = "multi_thread")]
async fn every_way_out_of_an_image_is_shut() {
    let canaries = Canaries::new();
    for mode in modes() {
        let mut layers = Layers::open(mode).await;
        layers.add(|dir| {
            python(dir);
            write(dir, "etc/passwd", "root:x:0:0::/:/bin/sh\n");
        });
        for uid in [0, 321] {
            let verdicts = inside(&layers, &canaries, uid).await;
            // Somebody who is 0 in its own eyes has nothing to become.
            let own = |name: &str| OWN_LAYER.contains(&name) || (uid == 0 && name == "setuid");
            let ways_out: Vec<_> =
                verdicts.iter().filter(|(name, open)| **open && !own(name)).collect();
            assert!(ways_out.is_empty(), "{mode:?} as {uid}: {ways_out:?}");
        }
        let below = std::fs::read_to_string(layers.made[0].join("etc/passwd")).unwrap();
        assert_eq!(below, "root:x:0:0::/:/bin/sh\n", "{mode:?}");
    }
}
