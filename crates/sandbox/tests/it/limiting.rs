//! No instance takes more than it was given, and every end for lack of something is told as such.

use std::time::{Duration, Instant};

use stint_sandbox::{ExitHow, LimitedBy};

use crate::lab::{Lab, finish, modes, spec};

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_and_the_end_says_so() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let fits = lab.python("x = bytearray(60 << 20); print(len(x))").await;
        assert_eq!((fits.code(), fits.exit.out_of_memory), (0, false), "{mode:?} {fits:?}");
        // In pieces with time between them, as real programs grow.
        let grows = "import time\nx = []\nfor i in range(60):\n    x.append(bytearray(16 << 20))\n    time.sleep(0.02)\nprint('unbounded')";
        let outcome = lab.python(grows).await;
        assert_eq!(outcome.exit.how, ExitHow::Signal(9), "{mode:?} {outcome:?}");
        assert!(outcome.exit.out_of_memory, "{mode:?} {outcome:?}");
        assert_eq!(outcome.out, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_killed_for_memory_is_counted_while_the_program_lives() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        if !lab.launcher.capabilities().limits_memory {
            continue;
        }
        let script = "/usr/bin/python3 -I -S -c 'x = bytearray(1 << 30)'; echo child $?";
        let outcome = lab.sh(script).await;
        assert_eq!(outcome.out, "child 137\n", "{outcome:?}");
        assert!(outcome.exit.out_of_memory && outcome.exit.usage.oom_kills == 1, "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_is_bounded() {
    let bomb = "import os, time\nn = 0\ntry:\n    while n < 1000:\n        if os.fork() == 0: time.sleep(1000)\n        n += 1\nexcept OSError: pass\nprint(n)";
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let outcome = lab.python(bomb).await;
        let forked: u32 = outcome.out.trim().parse().unwrap();
        assert!((16..=32).contains(&forked), "{mode:?}: {forked} forks of 32");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_writable_place_has_an_end() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let mut spec = spec(&[
            "/bin/sh",
            "-c",
            "head -c 8M /dev/zero > /tmp/fits && echo fits; \
             head -c 40M /dev/zero > /tmp/big || echo full; rm /tmp/*; \
             head -c 40M /dev/zero > /dev/shm/big || echo full; rm /dev/shm/*; \
             i=0; while echo > /tmp/$i; do i=$((i+1)); done; echo inodes; \
             echo > /file || echo sealed; echo > /dev/file || echo sealed; ulimit -n; ulimit -c",
        ]);
        spec.limits.nofile = 300;
        let outcome = finish(lab.launcher.launch(spec).await.unwrap()).await;
        let expected = ["fits", "full", "full", "inodes", "sealed", "sealed", "300", "0"];
        assert_eq!(outcome.out.lines().collect::<Vec<_>>(), expected, "{mode:?} {}", outcome.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "compares with real time")]
async fn a_spinning_program_gets_its_share_of_the_processor() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let mut spec = spec(&["/usr/bin/timeout", "1", "/bin/sh", "-c", "while :; do :; done"]);
        spec.limits.cpu_milli = 200;
        let begun = Instant::now();
        let launched = lab.launcher.launch(spec).await.unwrap();
        let limited = launched.instance.enforced().cpu;
        let outcome = finish(launched).await;
        let (used, took) = (outcome.exit.usage.cpu.unwrap(), begun.elapsed());
        // A fifth, and what the first period and the end round up; a busy machine makes it less.
        if limited == LimitedBy::Cgroup {
            let bound = took.mul_f64(0.4) + Duration::from_millis(100);
            assert!(used < bound, "{mode:?}: {used:?} of {took:?}");
        }
        assert!(used > Duration::from_millis(1), "{mode:?}: {used:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_can_be_watched_while_it_runs() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        if !lab.launcher.capabilities().limits_memory {
            continue;
        }
        let hold =
            "x = bytearray(50 << 20); print('ready', flush=True); import time; time.sleep(1000)";
        let mut launched =
            lab.launcher.launch(spec(&["/usr/bin/python3", "-I", "-S", "-c", hold])).await.unwrap();
        let mut ready = [0; 6];
        tokio::io::AsyncReadExt::read_exact(&mut launched.stdout, &mut ready).await.unwrap();
        let usage = launched.instance.usage();
        assert!(usage.memory_bytes.unwrap() > 50 << 20, "{usage:?}");
        assert!(usage.memory_peak_bytes.unwrap() >= usage.memory_bytes.unwrap());
        assert_eq!(usage.oom_kills, 0);
        launched.instance.kill();
        finish(launched).await;
    }
}
