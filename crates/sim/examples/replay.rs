//! Plays one world: `cargo run -p stint-sim --example replay -- SEED [SHARDS]`; or many, until one
//! fails: `… -- hunt FIRST COUNT [SHARDS]`.

use std::process::ExitCode;

use stint_sim::{Settings, play};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u64| {
        words.get(index).and_then(|word| word.parse().ok()).unwrap_or(default)
    };
    let hunt = words.first().is_some_and(|word| word == "hunt");
    let (first, count, shards) = if hunt {
        (number(1, 0), number(2, 1_000), number(3, 1))
    } else {
        (number(0, 0), 1, number(1, 1))
    };
    let shards = u16::try_from(shards).unwrap_or(1);
    for seed in first..first + count {
        let report = play(Settings { seed, shards, crashes: 4, tasks: 12, executions: 6 });
        #[expect(clippy::print_stdout, reason = "what the example is for")]
        if !report.wrong.is_empty() || !hunt {
            println!("seed {seed}, {shards} shards: {report:#?}");
        }
        if !report.wrong.is_empty() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
