//! The smoke of CI: fresh worlds and every world that ever failed, with one shard and several.

use stint_sim::{Settings, play};

fn worlds(shards: u16, seeds: impl Iterator<Item = u64>) {
    let (mut tasks, mut runs) = (0, 0);
    for seed in seeds {
        let report = play(Settings { seed, shards, crashes: 4, tasks: 12, executions: 6 });
        assert!(
            report.wrong.is_empty(),
            "seed {seed} with {shards} shards; play it again with\n  cargo run -p stint-sim --example \
             replay -- {seed} {shards}\n{:#?}",
            report.wrong
        );
        tasks += report.tasks;
        runs += report.runs;
    }
    assert!(tasks > 100 && runs > 100, "the worlds were not empty");
}

#[test]
fn fresh_worlds_with_one_shard_hold() {
    worlds(1, 0..60);
}

#[test]
fn fresh_worlds_with_several_shards_hold() {
    worlds(3, 1_000..1_040);
}

#[test]
fn worlds_that_failed_once_hold() {
    let seeds = include_str!("../../seeds.txt").lines().filter(|line| !line.starts_with('#'));
    for line in seeds {
        let mut numbers = line.split_whitespace().map(|n| n.parse::<u64>().expect("a number"));
        let (seed, shards) = (numbers.next().expect("a seed"), numbers.next().expect("shards"));
        let shards = u16::try_from(shards).expect("few shards");
        let report = play(Settings { seed, shards, crashes: 4, tasks: 12, executions: 6 });
        assert!(report.wrong.is_empty(), "seed {line}: {:#?}", report.wrong);
    }
}

#[test]
fn the_same_seed_plays_the_same_world() {
    for (seed, shards) in [(7, 1), (7, 3)] {
        let settings = Settings { seed, shards, crashes: 3, tasks: 10, executions: 4 };
        assert_eq!(play(settings), play(settings));
    }
}
