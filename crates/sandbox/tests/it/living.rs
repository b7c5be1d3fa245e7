//! Nothing outlives what it belongs to: not an instance its program, not a sandbox its spawner, not
//! a spawner its server.

use std::path::{Path, PathBuf};

use crate::lab::{Lab, Mode, finish, modes, spec, until};

/// Whether a host process with this argument lives.
fn lives(argument: &str) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.into_iter().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|part| part == argument.as_bytes())
    })
}

/// A duration for `sleep` that no other test uses.
fn unique(lab: &Lab, index: u32) -> String {
    let name = lab.dir.path().file_name().unwrap().to_str().unwrap();
    let digits: u32 = name.bytes().map(u32::from).fold(7, |a, b| (a * 31 + b) % 1_000_000);
    format!("{}{digits:06}.{}", 10 + index, std::process::id())
}

fn leaves(name: &str) -> Vec<PathBuf> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let memory = own.lines().find(|line| line.contains(":memory:") || line.starts_with("0::"));
    let path = memory.unwrap().splitn(3, ':').nth(2).unwrap().trim_start_matches('/');
    let path = path.trim_end_matches("stint.agent").trim_end_matches('/');
    let root = Path::new("/sys/fs/cgroup");
    [root.join("memory").join(path).join(name), root.join(path).join(name)]
        .into_iter()
        .filter_map(|base| std::fs::read_dir(base).ok())
        .flat_map(|entries| entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_die_with_their_program() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let length = unique(&lab, 1);
        let script = format!("(setsid sleep {length} >/dev/null 2>&1 &) ; sleep 0.05; exit 0");
        let launched = lab.launcher.launch(spec(&["/bin/sh", "-c", &script])).await.unwrap();
        until("the daemon lives", || lives(&length)).await;
        finish(launched).await;
        until("the daemon is gone", || !lives(&length)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_dies_with_the_server() {
    for mode in modes() {
        let lab = Lab::with(mode, |config| config.parked = 2).await;
        let length = unique(&lab, 2);
        let launched = lab.launcher.launch(spec(&["/bin/sleep", &length])).await.unwrap();
        until("it lives", || lives(&length)).await;
        let name = lab.dir.path().file_name().unwrap().to_str().unwrap().replace('.', "_");
        let kept = lab.vanish().await;
        until("it is gone", || !lives(&length)).await;
        until("its cgroups are gone", || leaves(&name).is_empty()).await;
        assert!(launched.exit.await.is_err(), "nobody is left to tell");
        drop(kept);
    }
}

/// Even when the spawner cannot clean up: the kernel ends the sandboxes, the next spawner the rest.
/// It comes by itself, and launches wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn everything_dies_with_the_spawner_and_another_one_takes_over() {
    for mode in modes() {
        let lab = Lab::with(mode, |config| config.parked = 1).await;
        for round in 3..6 {
            let length = unique(&lab, round);
            let launched = lab.launcher.launch(spec(&["/bin/sleep", &length])).await.unwrap();
            until("it lives", || lives(&length)).await;
            let (old, init) = (spawner(launched.instance.pid()), launched.instance.pid());
            kill_spawner(init);
            until("it is gone", || !lives(&length)).await;
            assert!(launched.exit.await.is_err(), "nobody is left to tell");
            let next = lab.launcher.launch(spec(&["/bin/sleep", "1000"])).await.unwrap();
            assert_ne!(spawner(next.instance.pid()), old, "{mode:?}");
            let name = lab.dir.path().file_name().unwrap().to_str().unwrap().replace('.', "_");
            let stale = format!("{old}-");
            let is_stale =
                |leaf: &PathBuf| leaf.file_name().unwrap().to_str().unwrap().starts_with(&stale);
            until("what was left is cleaned up", || !leaves(&name).iter().any(is_stale)).await;
            next.instance.kill();
            finish(next).await;
        }
    }
}

/// A parked child that is killed from outside costs nobody anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_child_that_dies_is_replaced() {
    for mode in modes() {
        let lab = Lab::with(mode, |config| config.parked = 2).await;
        let witness = lab.launcher.launch(spec(&["/bin/sleep", "1000"])).await.unwrap();
        let (spawner, own) = (spawner(witness.instance.pid()), witness.instance.pid());
        for _ in 0..5 {
            until("two are parked", || children(spawner).len() >= 3).await;
            for pid in children(spawner).into_iter().filter(|pid| *pid != own) {
                let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
                // One that has just ended is as good.
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
            assert_eq!(lab.sh("exit 7").await.code(), 7, "{mode:?}");
        }
        until("two are parked again", || children(spawner).len() >= 3).await;
        witness.instance.kill();
        finish(witness).await;
    }
}

fn children(pid: i32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    text.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The parent of a sandbox's init.
fn spawner(init: u32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{init}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    after_name.split(' ').nth(1).unwrap().parse().unwrap()
}

fn kill_spawner(init: u32) {
    let spawner = rustix::process::Pid::from_raw(spawner(init)).unwrap();
    rustix::process::kill_process(spawner, rustix::process::Signal::KILL).unwrap();
}

/// Failed, ended and killed launches alike give back every descriptor, child and cgroup.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_life_leaks_nothing() {
    let lab = Lab::open(Mode::Own).await;
    let witness = lab.launcher.launch(spec(&["/bin/sleep", "1000"])).await.unwrap();
    let spawner = spawner(witness.instance.pid());
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/{spawner}/{what}")).unwrap().flatten().count()
    };
    let children = || children(spawner).len();
    let before = count("fd");
    for _ in 0..10 {
        let missing = spec(&["/code/absent"]);
        let (ended, killed, failed) = tokio::join!(
            lab.launcher.launch(spec(&["/bin/true"])),
            lab.launcher.launch(spec(&["/bin/sleep", "1000"])),
            lab.launcher.launch(missing),
        );
        assert!(failed.is_err());
        let killed = killed.unwrap();
        killed.instance.kill();
        finish(ended.unwrap()).await;
        finish(killed).await;
    }
    until("descriptors and children are back", || count("fd") == before && children() == 1).await;
    let name = lab.dir.path().file_name().unwrap().to_str().unwrap().replace('.', "_");
    until("cgroups are back", || leaves(&name).len() <= 1).await;
    witness.instance.kill();
    finish(witness).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_on_a_launch_leaves_nothing_running() {
    let lab = Lab::open(Mode::Own).await;
    let length = unique(&lab, 4);
    let mut launch = Box::pin(lab.launcher.launch(spec(&["/bin/sleep", &length])));
    // One poll sends the request; the answer comes later.
    let first = futures_poll(&mut launch).await;
    assert!(first.is_none(), "it cannot be there yet");
    drop(launch);
    // The spawner works in order: when this one has run, the other has been dealt with.
    assert_eq!(lab.sh("exit 0").await.code(), 0);
    until("the abandoned one is gone", || !lives(&length)).await;
}

async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
