//! A program that waits gets code and limits later, and is then held like any other; and who it is
//! inside.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use stint_sandbox::{
    Bind, Channel, Equipment, ExitHow, HostUser, Inside, LaunchSpec, Launched, Limits, Outfit,
    SandboxError, Signal, SpecError, UserWall,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::lab::{Lab, finish, modes, open_to_all, spec};

const LATER: Limits =
    Limits { memory_mb: 100, cpu_milli: 1000, pids_max: 32, nofile: 1024, tmp_mb: 32 };

/// Says that it is there, waits for a line on its channel, then runs the script.
fn waiting(script: &str) -> LaunchSpec {
    let script = format!("echo there >&3; read go <&3; {script}");
    let mut spec = spec(&["/bin/sh", "-c", &script]);
    spec.channel = Channel::Stream;
    spec.outfit = Outfit::Later;
    spec.cwd = "/".into();
    spec
}

/// Until it waits, so that nothing of the start is left to happen.
async fn wait(launched: &mut Launched) {
    let mut there = [0; 6];
    launched.channel.as_mut().unwrap().read_exact(&mut there).await.unwrap();
    assert_eq!(&there, b"there\n");
}

async fn go(launched: &mut Launched) {
    launched.channel.as_mut().unwrap().write_all(b"go\n").await.unwrap();
}

/// A field of the status of the sandbox's init.
fn status(pid: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

fn code(lab: &Lab) -> std::path::PathBuf {
    let code = lab.dir.path().join("code");
    std::fs::create_dir(&code).unwrap();
    open_to_all(&code);
    std::fs::write(code.join("main"), "from code").unwrap();
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn code_and_limits_come_to_a_program_that_waits() {
    let script = "cat /code/main; echo; echo x > /code/new || echo sealed; ls /opt; ls -A /mnt; \
        head -c 20M /dev/zero > /tmp/fits && echo fits; \
        head -c 40M /dev/zero > /tmp/big || echo full; \
        grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; \
        mount -t tmpfs none /opt || echo walled; ls /code";
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let code = code(&lab);
        let mut launched = lab.launcher.launch(waiting(script)).await.unwrap();
        wait(&mut launched).await;
        let instance = launched.instance.clone();
        let binds = vec![Bind::read_only(&code, "/code")];
        lab.launcher.equip(&instance, Equipment { limits: LATER, binds }).await.unwrap();
        assert_eq!(status(instance.pid(), "Seccomp"), "2", "{mode:?}: init follows");
        assert_eq!(status(instance.pid(), "CapEff"), "0000000000000000", "{mode:?}");
        assert_eq!(status(instance.pid(), "CapBnd"), "0000000000000000", "{mode:?}");
        go(&mut launched).await;
        let outcome = finish(launched).await;
        let expected = "from code\nsealed\nlib\nfits\nfull\nCapEff:\t0000000000000000\n\
            NoNewPrivs:\t1\nSeccomp:\t2\nwalled\nmain\n";
        assert_eq!(outcome.out, expected, "{mode:?}: {}", outcome.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_later_limits_hold_and_signals_still_arrive() {
    let grows = "exec /usr/bin/python3 -I -S -c 'import time\nx = []\nfor i in range(60):\n    x.append(bytearray(16 << 20))\n    time.sleep(0.02)'";
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let mut launched = lab.launcher.launch(waiting(grows)).await.unwrap();
        wait(&mut launched).await;
        let limits = Limits { memory_mb: 64, ..LATER };
        let equipment = Equipment { limits, binds: Vec::new() };
        lab.launcher.equip(&launched.instance, equipment).await.unwrap();
        go(&mut launched).await;
        let outcome = finish(launched).await;
        assert_eq!(outcome.exit.how, ExitHow::Signal(9), "{mode:?} {outcome:?}");
        assert!(outcome.exit.out_of_memory, "{mode:?} {outcome:?}");
        let script = "trap 'echo heard; exit 5' TERM; echo there >&3; while :; do sleep 0.01; done";
        let mut launched = lab.launcher.launch(waiting(script)).await.unwrap();
        wait(&mut launched).await;
        let equipment = Equipment { limits: LATER, binds: Vec::new() };
        lab.launcher.equip(&launched.instance, equipment).await.unwrap();
        go(&mut launched).await;
        wait(&mut launched).await;
        launched.instance.signal(Signal::Terminate);
        let outcome = finish(launched).await;
        assert_eq!((outcome.code(), outcome.out.as_str()), (5, "heard\n"), "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equipment_comes_once_and_only_to_those_who_wait() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let equipment = || Equipment { limits: LATER, binds: Vec::new() };
        let mut launched = lab.launcher.launch(waiting("exit 3")).await.unwrap();
        wait(&mut launched).await;
        let absent = Equipment { binds: vec![Bind::read_only("/absent", "/code")], ..equipment() };
        let refused = lab.launcher.equip(&launched.instance, absent).await.unwrap_err();
        assert!(refused.to_string().contains("/absent"), "{mode:?} {refused}");
        finish(launched).await;
        let volume = Equipment { binds: vec![Bind::read_write("/tmp", "/code")], ..equipment() };
        let mut launched = lab.launcher.launch(waiting("exit 3")).await.unwrap();
        wait(&mut launched).await;
        let refused = lab.launcher.equip(&launched.instance, volume).await.unwrap_err();
        assert!(matches!(refused, SandboxError::Spec(SpecError::TooLate(_))), "{refused}");
        lab.launcher.equip(&launched.instance, equipment()).await.unwrap();
        // Init does not listen any more: a second time ends it.
        let instance = launched.instance.clone();
        let again = lab.launcher.equip(&instance, equipment()).await.unwrap_err();
        assert!(matches!(again, SandboxError::Ended), "{mode:?} {again}");
        finish(launched).await;
        let ended = lab.launcher.equip(&instance, equipment()).await.unwrap_err();
        assert!(matches!(ended, SandboxError::Ended), "{ended}");
        assert_eq!(lab.sh("exit 0").await.code(), 0, "the spawner is well");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_inside_who_it_is_stated_to_be() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let share = lab.dir.path().join("share");
        std::fs::create_dir(&share).unwrap();
        std::fs::set_permissions(&share, std::fs::Permissions::from_mode(0o777)).unwrap();
        for (uid, gid) in [(0, 0), (1234, 77)] {
            let script = "id -u; id -g; echo > /share/f; stat -c '%u %g' /share/f; \
                chown 1000 /share/f 2>/dev/null || echo refused; grep CapEff /proc/self/status";
            let mut spec = spec(&["/bin/sh", "-c", script]);
            spec.inside = Inside::alone(uid, gid);
            spec.binds = vec![Bind::read_write(&share, "/share")];
            let launched = lab.launcher.launch(spec).await.unwrap();
            let wall = launched.instance.enforced().user;
            let outcome = finish(launched).await;
            let (uid, gid, host) = match wall {
                UserWall::MappedTo(host) | UserWall::MappedToCaller(host) => (uid, gid, host),
                UserWall::HostIds(host) => (host.uid, host.gid, host),
            };
            let expected =
                format!("{uid}\n{gid}\n{uid} {gid}\nrefused\nCapEff:\t0000000000000000\n");
            assert_eq!(outcome.out, expected, "{mode:?} {}", outcome.err);
            assert_eq!(owner(&share.join("f")), host, "{mode:?}");
            std::fs::remove_file(share.join("f")).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_on_the_way_to_a_shared_directory_is_not_followed() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let share = lab.dir.path().join("share");
        std::os::unix::fs::symlink("/etc", &share).unwrap();
        let mut spec = spec(&["/bin/true"]);
        spec.binds = vec![Bind::read_write(&share, "/share")];
        let refused = lab.launcher.launch(spec).await.unwrap_err().to_string();
        assert!(refused.contains("bind source"), "{mode:?} {refused}");
    }
}

fn owner(path: &Path) -> HostUser {
    let found = std::fs::metadata(path).unwrap();
    HostUser { uid: found.uid(), gid: found.gid() }
}
