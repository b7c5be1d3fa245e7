//! The stored forms of a task against random lives, kept examples and damage.

use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use stint_model::shard::Shard;
use stint_model::task::Task;

use super::*;
use crate::conformance::life::{Lives, order, step};

fn back(task: &Task) -> Task {
    let order = write_order(task.order());
    read(&order, write_life(task).as_deref()).expect("reads back")
}

#[test]
fn a_fresh_task_has_no_life() {
    let task = Task::submit(Arc::new(order(1)));
    assert_eq!(write_life(&task), None);
    assert_eq!(back(&task), task);
    let order = write_order(task.order());
    assert_eq!(read(&order, Some(&write_life_always(&task))).expect("reads"), task);
}

#[test]
fn a_small_task_is_small() {
    let mut lives = Lives::new(1, Shard::FIRST);
    let mut task = Task::submit(Arc::new(order(1)));
    lives.run_to_success(&mut task);
    let (order, life) = (write_order(task.order()).len(), write_life_always(&task).len());
    assert!(order <= 160 && life <= 120, "order {order}, life {life}");
}

/// Bytes written by version 1: a later version must read them for ever.
#[test]
fn the_example_of_version_1_still_reads() {
    let task = golden();
    let bytes = include_bytes!("golden/order_v1.bin");
    let life = include_bytes!("golden/life_v1.bin");
    assert_eq!(read(bytes, Some(life)).expect("reads"), task);
    assert_eq!(write_order(task.order()), bytes, "the form changed: add a version");
    assert_eq!(write_life_always(&task), life, "the form changed: add a version");
}

#[test]
fn a_bound_on_silence_is_kept_in_a_form_of_its_own() {
    let silent = Order { heartbeat: Some(Span::from_secs(30)), ..order(1) };
    let bytes = write_order(&silent);
    assert_eq!(read_order(&bytes).expect("reads"), silent);
    assert_ne!(bytes[0], write_order(&order(1))[0], "without one the first form is written");
}

/// A fixed task that uses every field.
fn golden() -> Task {
    let mut lives = Lives::new(7, Shard::new(3));
    let mut task = lives.full();
    for _ in 0..200 {
        step(&mut task, lives.random());
    }
    task
}

#[test]
fn no_single_changed_byte_panics() {
    let task = golden();
    let (order, life) = (write_order(task.order()), write_life_always(&task));
    for i in 0..order.len().max(life.len()) {
        for flip in [0x01_u8, 0x80, 0xff] {
            let (mut order, mut life) = (order.clone(), life.clone());
            order.get_mut(i).into_iter().for_each(|byte| *byte ^= flip);
            drop(read(&order, Some(&life)));
            life.get_mut(i).into_iter().for_each(|byte| *byte ^= flip);
            drop(read(&order, Some(&life)));
        }
        assert!(read(&order[..i.min(order.len() - 1)], None).is_err());
        assert!(read(&order, Some(&life[..i.min(life.len() - 1)])).is_err());
    }
    let mut long = order;
    long.push(0);
    assert!(matches!(read(&long, None), Err(StoreError::Corrupt { .. })));
}

/// Not an assertion on time: prints what `--nocapture` shows.
#[test]
fn speed() {
    let mut lives = Lives::new(1, Shard::FIRST);
    let mut task = Task::submit(Arc::new(order(1)));
    lives.run_to_success(&mut task);
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    let started = Instant::now();
    let rounds: u32 = 10_000;
    for _ in 0..rounds {
        assert_eq!(back(&task).uid(), task.uid());
    }
    println!("encode and decode: {:?}", started.elapsed() / rounds);
}

proptest! {
    #[test]
    fn any_legal_life_reads_back(seed: u64, moves in 0_usize..60) {
        let mut lives = Lives::new(seed, Shard::new(5));
        let mut task = lives.fresh();
        for _ in 0..moves {
            prop_assert_eq!(&back(&task), &task);
            step(&mut task, lives.random());
        }
        prop_assert_eq!(&back(&task), &task);
    }

    #[test]
    fn no_bytes_panic(
        order in proptest::collection::vec(any::<u8>(), 0..300),
        life in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        drop(read(&order, None));
        drop(read(&write_order(golden().order()), Some(&life)));
    }
}
