//! Sums survive, hours are split, closed and merged.

use stint_model::limit::Resources;
use stint_model::scaling::IdleCpu;
use stint_store::MemoryJournal;

use super::*;

fn piece(at: Timestamp, active: Span, idle: Span) -> UsagePiece {
    UsagePiece {
        account: AccountId::new(7),
        function_name: "f".into(),
        size: Resources { cpu_milli: 500, memory_mb: 2_048 },
        disk_mb: 10_240,
        at,
        active,
        idle,
        kept: None,
        invocations: 3,
        cpu_micros: 11,
    }
}

#[test]
fn dimensions_are_the_configured_size_over_time() {
    let secs = Span::from_secs;
    let sums = Sums::of(&piece(Timestamp::from_millis(1), secs(10), secs(100)));
    assert_eq!(sums.vcpu_micros, 5_000_000);
    assert_eq!(sums.memory_active_micros, 20_000_000);
    assert_eq!(sums.memory_idle_micros, 200_000_000);
    // 9.5 GB beyond the free half.
    assert_eq!(sums.disk_micros, 10 * 9_500_000);
    // 5 + 0.15 × 20 + 0.05 × 95 + 3 × 0.0075
    assert_eq!(sums.micro_units(), 5_000_000 + 3_000_000 + 4_750_000 + 22_500);
    let kept = |kept| {
        let piece = piece(Timestamp::from_millis(1), Span::ZERO, secs(100));
        Sums::of(&UsagePiece { kept: Some(kept), invocations: 0, ..piece })
    };
    let asleep = kept(IdleCpu::Released);
    assert_eq!((asleep.idle_micros, asleep.kept_micros), (0, 100_000_000));
    assert_eq!(asleep.micro_units(), 30_000_000 + 47_500_000, "memory and disk");
    assert_eq!(kept(IdleCpu::Allocated).micro_units(), asleep.micro_units() + 50_000_000);
}

#[test]
fn a_piece_over_full_hours_is_shared_out() {
    let full = start_of(10);
    let minutes = |n: u64| Span::from_secs(60 * n);
    let parts = split(&piece(full + minutes(30), minutes(30), minutes(90)));
    let seen: Vec<_> = parts
        .iter()
        .map(|part| {
            let hour = hour_of(Timestamp::from_micros(part.at.micros() - 1));
            (hour, part.active.secs(), part.idle.secs(), part.invocations)
        })
        .collect();
    let secs = |minutes: u64| minutes * 60;
    assert_eq!(
        seen,
        [
            (10, secs(30) / 4, secs(90) / 4, 3),
            (9, secs(15), secs(45), 0),
            (8, secs(30) / 4, secs(90) / 4, 0)
        ]
    );
    assert_eq!(split(&piece(full, minutes(60), Span::ZERO)).len(), 1);
}

#[tokio::test]
async fn what_was_used_is_there_after_a_restart() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let clock = Clock::start();
    let now = clock.now();
    let keep = Span::from_secs(7 * 86_400);
    let second = Span::from_secs(1);
    let day = |n: u64| now - Span::from_secs(n * 86_400);
    // The first hour of its day, so that the last one is another, whatever the time is now.
    let long_ago = day_end(hour_of(day(20))) - 24;
    let (name, sums) = ("f".into(), Sums::of(&piece(day(20), second, second)));
    let mut chunk = Chunk {
        seq: 0,
        stream: day_stream(day_of_hour(long_ago)),
        subject: "7".into(),
        at: now,
        body: form::write(long_ago, [(&name, &sums)].into_iter()).into(),
    };
    journal.append(vec![chunk.clone()]).await.unwrap();
    chunk.body = form::write(day_end(long_ago) - 1, [(&name, &sums)].into_iter()).into();
    journal.append(vec![chunk]).await.unwrap();
    let book = UsageBook::open(Arc::clone(&journal), keep, clock.clone()).await.unwrap();
    book.put(&piece(now, second, second));
    book.flush().await.unwrap();
    book.put(&piece(now, second, Span::ZERO));
    book.put(&piece(day(5), second, Span::ZERO));
    book.flush().await.unwrap();
    // Late, for an hour that was written already.
    book.put(&piece(day(5), second, Span::ZERO));
    book.flush().await.unwrap();
    let again = UsageBook::open(journal, keep, clock).await.unwrap();
    let query = UsageQuery { window: Window::Hour, ..UsageQuery::default() };
    let all = again.rows(&query);
    assert_eq!(all, book.rows(&query));
    assert_eq!(all.iter().map(|row| row.sums.invocations).sum::<u64>(), 18);
    let (coarse, fine) = (all[0].end.since(all[0].start), all[1].end.since(all[1].start));
    assert_eq!((coarse, fine), (HOUR.times(24), HOUR), "long ago it is a day");
    assert_eq!(all[0].sums.active_micros, 2_000_000, "hours of a day are merged");
    let of = |query: UsageQuery| again.rows(&query).len();
    assert_eq!(of(UsageQuery { from: Some(day(6)), ..query.clone() }), all.len() - 1);
    assert_eq!(of(UsageQuery { until: Some(day(6)), ..query.clone() }), 1);
    assert_eq!(of(UsageQuery { account: Some(AccountId::new(8)), ..query.clone() }), 0);
    assert_eq!(of(UsageQuery { function: Some("g".into()), ..query.clone() }), 0);
    let whole = UsageQuery { window: Window::All, group_by: GroupBy::Account, ..query };
    let rows = again.rows(&whole);
    assert_eq!((rows.len(), &*rows[0].function, rows[0].sums.invocations), (1, "", 18));
    let units: u64 = rows.iter().map(|row| row.sums.micro_units()).sum();
    assert_eq!(again.spent(AccountId::new(7), day(40)), units);
    again.put(&piece(now, second, Span::ZERO));
    assert!(again.spent(AccountId::new(7), day(40)) > units, "and it goes on");
}

#[test]
fn lines_that_cannot_be_read_are_left_out() {
    let body = b"2\t9\tf\t1\n1\t9\tf\tx\n1\t9\tg\t1\t2\t3\n\xff\n";
    let read = form::read(body);
    assert_eq!(
        (read.len(), read[0].0, read[0].2.fields()),
        (1, 9, [1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    );
}
