//! Random batches, played against a backend and against the specification ([`MemoryStore`]): every
//! answer and every read must be the same.

use bytes::Bytes;
use stint_model::shard::{Epoch, Fence, LetterId, Shard};
use stint_model::task::Task;

use super::life::{Lives, Random, START, step};
use super::tasks::{new_row, queries, row};
use crate::batch::{Batch, Expect, Letter, Put};
use crate::memory::MemoryStore;
use crate::record::{Key, Kind};
use crate::store::{CommitError, Store, TaskQuery};

const SHARDS: [Shard; 2] = [Shard::FIRST, Shard::new(1)];
const ROUNDS: usize = 120;

/// From a fixed seed; [`play`] takes others.
pub async fn random_batches_agree_with_the_specification(store: &dyn Store) {
    play(store, 0x51a7).await;
}

/// A story from a seed.
pub async fn play(store: &dyn Store, seed: u64) {
    let mut story = Story {
        random: Random::new(seed),
        lives: SHARDS.map(|shard| Lives::new(seed, shard)),
        epochs: [0; 2],
        tasks: Vec::new(),
        letters: Vec::new(),
    };
    let memory = MemoryStore::new();
    for round in 0..ROUNDS {
        if story.random.one_in(12) || round == 0 {
            story.open(store, &memory).await;
        }
        let batch = story.batch();
        let ours = store.commit(batch.clone()).await.map(|done| (done.seq, done.epoch));
        let theirs = memory.commit(batch).await.map(|done| (done.seq, done.epoch));
        assert_eq!(answer(&ours), answer(&theirs), "seed {seed}, round {round}");
        if round % 10 == 9 {
            story.compare(store, &memory).await;
        }
    }
}

fn answer(result: &Result<(u64, Epoch), CommitError>) -> String {
    format!("{result:?}")
}

struct Story {
    random: Random,
    lives: [Lives; 2],
    epochs: [u64; 2],
    /// Every task ever made: written, refused, forgotten.
    tasks: Vec<Task>,
    letters: Vec<Letter>,
}

impl Story {
    async fn open(&mut self, store: &dyn Store, memory: &MemoryStore) {
        for (n, shard) in SHARDS.into_iter().enumerate() {
            let ours = store.shard_open(shard, START).await.expect("opens");
            let theirs = memory.shard_open(shard, START).await.expect("opens");
            assert_eq!(ours.epoch, theirs.epoch);
            assert!(ours.minted_max >= theirs.minted_max || theirs.seen_at > ours.seen_at);
            self.epochs[n] = ours.epoch.0;
        }
    }

    fn batch(&mut self) -> Batch {
        let side = self.random.below(2);
        let shard = SHARDS[side];
        let stale = u64::from(self.random.one_in(15));
        let mut batch = Batch::new(Fence { shard, epoch: Epoch(self.epochs[side] - stale) });
        if self.random.one_in(3) {
            let (key, version) = (self.key(), self.random.draw() % 3);
            batch.expects.push(Expect { key, version });
        }
        for _ in 0..self.random.below(8) {
            let put = self.put(side);
            batch.puts.push(put);
        }
        if self.random.one_in(3) {
            let letter = self.letter(side);
            self.letters.push(letter.clone());
            batch.sends.push(letter);
        }
        if self.random.one_in(3) && !self.letters.is_empty() {
            let letter = &self.letters[self.random.below(self.letters.len())];
            if letter.to == shard || self.random.one_in(5) {
                batch.applies.push(letter.id);
            }
        }
        batch
    }

    fn key(&mut self) -> Key {
        let kind = [Kind::Function, Kind::Alias][self.random.below(2)];
        Key::new(kind, format!("1/f{}", self.random.below(6)))
    }

    fn letter(&mut self, side: usize) -> Letter {
        if !self.letters.is_empty() && self.random.one_in(5) {
            return self.letters[self.random.below(self.letters.len())].clone();
        }
        let id = LetterId { from: SHARDS[side], number: self.lives[side].number() };
        let body = Bytes::from(format!("{}", self.random.draw()));
        Letter { id, to: SHARDS[self.random.below(2)], body }
    }

    fn put(&mut self, side: usize) -> Put {
        let any = self.random.below(self.tasks.len());
        match self.random.below(12) {
            0 => Put::Delete { key: self.key() },
            1 | 2 => {
                let body = Bytes::from(format!("{}", self.random.draw()));
                Put::Record { key: self.key(), shard: SHARDS[side], body }
            }
            3 if !self.tasks.is_empty() => Put::Forget { task: self.tasks[any].uid() },
            4 if self.random.one_in(4) && !self.tasks.is_empty() => new_row(&self.tasks[any]),
            5..9 if !self.tasks.is_empty() => {
                let task = &mut self.tasks[any];
                for _ in 0..3 {
                    step(task, self.random.draw());
                }
                row(task)
            }
            9 => {
                let chosen = format!("c{}", self.random.below(30));
                let task = self.lives[side].of(self.random.below(3), Some(&chosen));
                self.tasks.push(task.clone());
                new_row(&task)
            }
            _ => {
                let task = self.lives[side].fresh();
                self.tasks.push(task.clone());
                new_row(&task)
            }
        }
    }

    async fn compare(&mut self, store: &dyn Store, memory: &MemoryStore) {
        let uids: Vec<_> = self.tasks.iter().map(Task::uid).collect();
        let (ours, theirs) = (store.task_get(&uids).await, memory.task_get(&uids).await);
        assert_eq!(ours.expect("reads"), theirs.expect("reads"));
        let chosen: Vec<_> =
            (0..90).map(|n| (super::life::function(n % 3).1, format!("c{}", n / 3))).collect();
        let (ours, theirs) = (store.task_find(&chosen).await, memory.task_find(&chosen).await);
        assert_eq!(ours.expect("finds"), theirs.expect("finds"));
        for kind in [Kind::Function, Kind::Alias] {
            let ours = store.record_list(kind, "1/", None, 4).await.expect("lists");
            assert_eq!(ours, memory.record_list(kind, "1/", None, 4).await.expect("lists"));
        }
        for shard in SHARDS {
            let ours = store.task_open(shard, None, 1_000).await.expect("reads");
            assert_eq!(ours, memory.task_open(shard, None, 1_000).await.expect("reads"));
            let ours = store.letter_list(shard, 1_000).await.expect("lists");
            assert_eq!(ours, memory.letter_list(shard, 1_000).await.expect("lists"));
            let before = START + stint_model::time::Span::from_secs(1);
            let ours = store.task_old(shard, before, 5).await.expect("reads");
            assert_eq!(ours, memory.task_old(shard, before, 5).await.expect("reads"));
        }
        for query in queries(&self.tasks) {
            let query = TaskQuery { limit: 1 + self.random.below(20), ..query };
            let ours = store.task_list(&query).await.expect("lists");
            assert_eq!(ours, memory.task_list(&query).await.expect("lists"), "{query:?}");
            let ours = store.task_count(&query).await.expect("counts");
            assert_eq!(ours, memory.task_count(&query).await.expect("counts"), "{query:?}");
        }
    }
}
