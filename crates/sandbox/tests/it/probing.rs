//! What the machine can do is found by doing it, interpreters included; and how long a start takes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stint_sandbox::{Candidate, Discovery, DoorPorts, Family, LaunchSpec, Launcher, Network};

use crate::lab::{Lab, Mode, config, finish, modes, open_to_all, spec, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_reports_every_check_and_leaves_nothing() {
    for mode in modes() {
        let dir = tempfile::tempdir().unwrap();
        open_to_all(dir.path());
        let capabilities = Launcher::probe(config(mode, dir.path())).await.unwrap();
        let names: Vec<_> = capabilities.findings.iter().map(|f| f.name.as_str()).collect();
        let expected = [
            "root",
            "user-namespace",
            "namespaces",
            "seccomp",
            "images",
            "landlock",
            "cgroup-memory",
            "cgroup-pids",
            "cgroup-cpu",
        ];
        assert_eq!(names, expected);
        for finding in &capabilities.findings {
            assert_eq!(finding.works, finding.advice.is_empty(), "{finding:?}");
            assert!(!finding.seen.is_empty());
        }
        let left = std::fs::read_dir(dir.path().join("base")).unwrap().count();
        assert_eq!(left, 0, "{mode:?}");
        assert_eq!(capabilities.root, mode != Mode::Nobody && crate::lab::is_root());
    }
}

/// `stint doctor` beside `stint up`.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_does_not_disturb_a_running_server() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let witness = lab.launcher.launch(spec(&["/bin/sleep", "1000"])).await.unwrap();
        let mut config = config_beside(mode, &lab);
        config.parked = 3;
        Launcher::probe(config).await.unwrap();
        assert_eq!(lab.sh("cat /etc/hostname").await.out, "stint\n", "{mode:?}");
        witness.instance.kill();
        assert_eq!(finish(witness).await.exit.how, stint_sandbox::ExitHow::Signal(9));
    }
}

/// The running server's own configuration.
fn config_beside(mode: Mode, lab: &Lab) -> stint_sandbox::LauncherConfig {
    let fresh = tempfile::tempdir().unwrap();
    open_to_all(fresh.path());
    let mut config = config(mode, fresh.path());
    let name = lab.dir.path().file_name().unwrap().to_str().unwrap();
    config.cgroup_name = name.replace('.', "_");
    config.base_dir = lab.dir.path().join("base");
    if mode == Mode::Nobody {
        let program = config.spawner.args.last_mut().unwrap();
        *program = lab.dir.path().join("spawner").to_str().unwrap().to_owned();
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn interpreters_are_proven_inside_the_sandbox() {
    let lab = Lab::open(Mode::Own).await;
    // A program that is there and is no interpreter, one in a private place, one that is not there.
    let python = |path: &str| Candidate { family: Family::Python, path: PathBuf::from(path) };
    let configured =
        vec![python("/usr/bin/true"), python("/root"), python("/opt/none/bin/python3")];
    let discovery = Discovery::run(&lab.launcher, configured).await;
    println!("{discovery:#?}");
    let found = discovery.choose(Family::Python, (3, 6)).expect("python3 is installed for tests");
    assert!(found.path.starts_with("/usr") && found.binds.is_empty());
    let reason = |path: &str| {
        let refused = discovery.refused.iter().find(|refused| refused.path == Path::new(path));
        refused.map(|refused| refused.reason.as_str()).unwrap_or_default()
    };
    assert!(reason("/usr/bin/true").contains("for its version"));
    assert!(reason("/opt/none/bin/python3").contains("No such file"));
    assert!(!reason("/root").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_child_is_used_and_limited_like_any_other() {
    for mode in modes() {
        let lab = Lab::with(mode, |config| config.parked = 2).await;
        let mut parked = false;
        for _ in 0..50 {
            let launched = lab.launcher.launch(spec(&["/bin/true"])).await.unwrap();
            parked |= launched.instance.enforced().parked;
            finish(launched).await;
        }
        assert!(parked, "{mode:?}: none of fifty met a parked child");
        let outcome = lab.python("x = bytearray(60 << 20); print('fits')").await;
        assert_eq!(outcome.out, "fits\n", "{mode:?} {outcome:?}");
    }
}

/// Prints what a start costs here; a number is never a verdict.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "measures real time")]
async fn how_long_a_start_takes() {
    let doors = Network::Doors(DoorPorts { egress: 3128, api: 3129 });
    for mode in modes() {
        for (parked, network) in
            [(0, Network::Loopback), (0, doors), (4, Network::Loopback), (4, doors)]
        {
            let lab = Lab::with(mode, |config| config.parked = parked).await;
            let spec = LaunchSpec { network, ..spec(&["/bin/true"]) };
            let mut times = Vec::new();
            for _ in 0..15 {
                // As starts come: with pauses.
                let pause = Instant::now();
                until("a pause is over", || pause.elapsed() > Duration::from_millis(40)).await;
                let begun = Instant::now();
                let launched = lab.launcher.launch(spec.clone()).await.unwrap();
                times.push(begun.elapsed());
                finish(launched).await;
            }
            times.sort();
            println!(
                "{mode:?} {network:?} parked {parked}: p50 {:?} p90 {:?}",
                times[7], times[13]
            );
        }
    }
}
