//! A launch gives a program what its spec says, and nothing else.

use std::os::unix::fs::PermissionsExt;

use stint_sandbox::{
    Bind, Channel, ExitHow, Launched, Launcher, LimitedBy, SandboxError, Signal, SpecError,
    UserWall,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::lab::{Lab, Mode, PATIENCE, config, finish, is_root, modes, open_to_all, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_its_arguments_environment_and_directory_and_nothing_else() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let mut spec =
            spec(&["/bin/sh", "-c", "echo $0 $1; pwd; env; ls /proc/self/fd; umask", "a b", "c"]);
        spec.env = vec![("ONLY".to_owned(), "this = that".to_owned())];
        let outcome = lab.run(spec).await;
        assert_eq!(
            outcome.out.lines().collect::<Vec<_>>(),
            ["a b c", "/tmp", "ONLY=this = that", "PWD=/tmp", "0", "1", "2", "3", "0022"],
            "{mode:?}: the listing itself is descriptor 3: {}",
            outcome.err
        );
        assert_eq!((outcome.code(), outcome.err.as_str()), (0, ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_told_as_it_was() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        assert_eq!(lab.sh("exit 7").await.exit.how, ExitHow::Code(7));
        assert_eq!(lab.sh("kill -ABRT $$").await.exit.how, ExitHow::Signal(6));
        let outcome = lab.sh("echo out; echo err >&2").await;
        assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("out\n", "err\n"));
        assert!(!outcome.exit.out_of_memory);
        assert!(outcome.exit.usage.cpu.is_some() && outcome.exit.usage.memory_peak_bytes.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_start_says_why() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let failed = lab.launcher.launch(spec(&["/code/absent"])).await.unwrap_err();
        let said = failed.to_string();
        assert!(said.contains("executing /code/absent: No such file"), "{said}");
        let mut no_directory = spec(&["/bin/true"]);
        no_directory.cwd = "/absent".into();
        let said = lab.launcher.launch(no_directory).await.unwrap_err().to_string();
        assert!(said.contains("working directory /absent: No such file"), "{said}");
        let mut no_source = spec(&["/bin/true"]);
        no_source.binds = vec![Bind::read_only("/absent/code", "/code")];
        let said = lab.launcher.launch(no_source).await.unwrap_err().to_string();
        assert!(said.contains("bind source /absent/code: No such file"), "{said}");
        let failed = lab.launcher.launch(spec(&["true"])).await.unwrap_err();
        assert!(matches!(failed, SandboxError::Spec(SpecError::Program(_))));
        // None of this has hurt the spawner.
        assert_eq!(lab.sh("exit 0").await.code(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_are_bound_as_told() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let code = lab.dir.path().join("code");
        let share = lab.dir.path().join("share");
        for dir in [&code, &share] {
            std::fs::create_dir(dir).unwrap();
            open_to_all(dir);
        }
        std::fs::write(code.join("main.sh"), "echo from code").unwrap();
        std::fs::set_permissions(&share, std::fs::Permissions::from_mode(0o777)).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", code.join("trap")).unwrap();
        let mut spec = spec(&[
            "/bin/sh",
            "-c",
            "sh /code/main.sh; echo x > /mnt/deep/share/made; echo x 2>&1 > /code/made; echo $?; \
             echo x 2>&1 > /opt/file; cat /opt/file",
        ]);
        spec.binds = vec![
            Bind::read_only(&code, "/code"),
            Bind::read_write(&share, "/mnt/deep/share"),
            Bind::read_only(code.join("main.sh"), "/opt/file"),
        ];
        let outcome = lab.run(spec).await;
        assert!(outcome.out.starts_with("from code\n"), "{mode:?} {outcome:?}");
        assert!(outcome.out.ends_with("echo from code"), "{mode:?} {outcome:?}");
        assert_eq!(std::fs::read_to_string(share.join("made")).unwrap(), "x\n");
        assert!(!code.join("made").exists(), "{mode:?}: code is read-only");
    }
}

/// A server that runs as root may show what lies in another user's closed directory.
#[tokio::test(flavor = "multi_thread")]
async fn root_binds_out_of_a_closed_directory_of_somebody_else() {
    for mode in modes().into_iter().filter(|mode| *mode != Mode::Nobody && is_root()) {
        let lab = Lab::open(mode).await;
        let home = lab.dir.path().join("home");
        let code = home.join("code");
        std::fs::create_dir_all(&code).unwrap();
        std::fs::write(code.join("file"), "shown").unwrap();
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&home, Some(4321), Some(4321)).unwrap();
        let mut spec = spec(&["/bin/sh", "-c", "cat /code/file; echo x 2>/dev/null > /code/made"]);
        spec.binds = vec![Bind::read_only(&code, "/code")];
        let outcome = lab.run(spec).await;
        assert_eq!((outcome.out.as_str(), outcome.code()), ("shown", 2), "{mode:?} {outcome:?}");
    }
}

/// Two instances of one account write into each other's files; another account does not.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_share_files_within_and_not_between() {
    let lab = Lab::open(Mode::Own).await;
    let share = lab.dir.path().join("share");
    std::fs::create_dir(&share).unwrap();
    std::fs::set_permissions(&share, std::fs::Permissions::from_mode(0o1777)).unwrap();
    let run = async |uid: u32, script: &str| {
        let mut spec = spec(&["/bin/sh", "-c", script]);
        spec.binds = vec![Bind::read_write(&share, "/mnt")];
        (spec.user.uid, spec.user.gid) = (uid, uid);
        let launched = lab.launcher.launch(spec).await.unwrap();
        let wall = launched.instance.enforced().user;
        (finish(launched).await.code(), wall)
    };
    assert_eq!(run(200_001, "umask 077; echo secret > /mnt/file").await.0, 0);
    assert_eq!(run(200_001, "cat /mnt/file && echo more >> /mnt/file").await.0, 0);
    let (code, wall) = run(200_002, "cat /mnt/file").await;
    match wall {
        UserWall::MappedTo(user) => assert_eq!((code, user.uid), (1, 200_002)),
        UserWall::MappedToCaller(_) => assert_eq!(code, 0, "one host user: reported, not hidden"),
        UserWall::HostIds(_) => panic!("user namespaces are there"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_channel_is_descriptor_three() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let mut spec = spec(&["/bin/sh", "-c", "read line <&3; echo \"got $line\" >&3"]);
        spec.channel = Channel::Stream;
        let mut launched = lab.launcher.launch(spec).await.unwrap();
        let mut channel = launched.channel.take().unwrap();
        channel.write_all(b"hello\n").await.unwrap();
        let mut answer = String::new();
        channel.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "got hello\n", "and then the end: nobody else holds the other end");
        assert_eq!(finish(launched).await.code(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_program_and_a_kill_is_final() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let script = "trap 'echo polite; exit 3' TERM; echo ready; while :; do sleep 0.01; done";
        let Launched { instance, mut stdout, stderr, channel, exit, .. } =
            lab.launcher.launch(spec(&["/bin/sh", "-c", script])).await.unwrap();
        let mut ready = [0; 6];
        stdout.read_exact(&mut ready).await.unwrap();
        instance.signal(Signal::Terminate);
        let (instance_too, doors, listener) = (instance.clone(), None, None);
        let same =
            Launched { instance: instance_too, stdout, stderr, channel, listener, doors, exit };
        let outcome = finish(same).await;
        assert_eq!((outcome.out.as_str(), outcome.code()), ("polite\n", 3));
        // Harmless after the end.
        instance.kill();
        instance.signal(Signal::Terminate);

        let stubborn = "trap '' TERM INT HUP; echo ready; while :; do sleep 0.01; done";
        let mut launched = lab.launcher.launch(spec(&["/bin/sh", "-c", stubborn])).await.unwrap();
        launched.stdout.read_exact(&mut ready).await.unwrap();
        launched.instance.signal(Signal::Terminate);
        launched.instance.kill();
        assert_eq!(finish(launched).await.exit.how, ExitHow::Signal(9));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_enforced_is_told_per_instance() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let launched = lab.launcher.launch(spec(&["/bin/true"])).await.unwrap();
        let enforced = launched.instance.enforced().clone();
        let machine = lab.launcher.capabilities().clone();
        assert_eq!(enforced.memory == LimitedBy::Cgroup, machine.limits_memory, "{mode:?}");
        assert_eq!(enforced.processes == LimitedBy::Cgroup, machine.limits_processes);
        assert_eq!(enforced.landlock_abi, machine.landlock_abi);
        assert!(enforced.filter_length > 100);
        match (mode, enforced.user) {
            (Mode::HostIds, UserWall::HostIds(user)) => assert_eq!(user.uid, 123_456),
            (Mode::Nobody, UserWall::MappedToCaller(user)) => assert_eq!(user.uid, 65_534),
            (Mode::Own, UserWall::MappedTo(_) | UserWall::MappedToCaller(_)) => {}
            other => panic!("{other:?}"),
        }
        finish(launched).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demand_the_machine_cannot_meet_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    open_to_all(dir.path());
    let mut config = config(modes().pop().unwrap(), dir.path());
    config.policy = stint_sandbox::IsolationPolicy::strict();
    let Err(SandboxError::BelowPolicy { missing }) = Launcher::start(config).await else {
        panic!("host ids, or no cgroups, are below the strict policy");
    };
    assert!(!missing.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_launches_at_once_do_not_disturb_each_other() {
    let lab = Lab::with(Mode::Own, |config| config.parked = 3).await;
    let mut all = Vec::new();
    for index in 0..40 {
        let script = format!("echo {index}; exit {index}");
        all.push(lab.launcher.launch(spec(&["/bin/sh", "-c", &script])).await.unwrap());
    }
    for (index, launched) in all.into_iter().enumerate() {
        let outcome = tokio::time::timeout(PATIENCE, finish(launched)).await.unwrap();
        assert_eq!(outcome.out, format!("{index}\n"));
        assert_eq!(usize::try_from(outcome.code()).unwrap(), index);
    }
}
