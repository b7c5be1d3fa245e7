//! Lines, bounds and the order of reading.

use std::io::Write as _;
use std::os::fd::OwnedFd;

use proptest::prelude::*;

use super::*;

fn log(bytes_max: u64, tail: bool) -> AttemptLog {
    AttemptLog::new("r-1".into(), bytes_max, tail)
}

#[test]
fn lines_come_whole_and_long_ones_are_cut() {
    let mut lines = Lines::default();
    lines.add(b"one\ntw");
    assert_eq!(lines.take(Rest::Keep), b"one\n");
    lines.add(b"o\nthree");
    assert_eq!(lines.take(Rest::Keep), b"two\n");
    assert_eq!(lines.take(Rest::Keep), b"");
    assert_eq!(lines.take(Rest::Take), b"three\n");
    lines.add(&vec![b'x'; LINE_BYTES_MAX + 10]);
    let cut = lines.take(Rest::Take);
    assert_eq!(cut.len(), LINE_BYTES_MAX + 10 + 2);
    assert_eq!(cut[LINE_BYTES_MAX], b'\n');
}

#[test]
fn an_attempt_that_says_nothing_costs_nothing() {
    let mut quiet = log(1000, false);
    assert_eq!(quiet.end(""), "");
    assert!(!quiet.is_pending());
}

#[test]
fn an_attempt_that_fails_in_silence_leaves_a_word() {
    let whole = "FC Invoke Start RequestId: r-1\n\
                 FC Invoke End RequestId: r-1, Error: Unhandled function error\n";
    for keep_tail in [true, false] {
        let mut quiet = log(1000, keep_tail);
        let tail = quiet.end("Unhandled function error");
        assert_eq!(tail, if keep_tail { whole } else { "" });
        assert_eq!(quiet.take_pending(), whole);
    }
}

#[test]
fn what_is_said_lies_between_its_markers() {
    let mut log = log(1000, true);
    log.add(b"hello\n");
    assert!(log.is_pending());
    assert_eq!(log.take_pending(), "FC Invoke Start RequestId: r-1\nhello\n");
    log.add(b"more\n");
    let tail = log.end("");
    assert_eq!(log.take_pending(), "more\nFC Invoke End RequestId: r-1\n");
    assert_eq!(tail, "FC Invoke Start RequestId: r-1\nhello\nmore\nFC Invoke End RequestId: r-1\n");
}

#[test]
fn the_bounds_hold() {
    let mut log = log(10, true);
    log.add(b"12345\n12345\n");
    log.add(b"more\n");
    let text = log.take_pending();
    assert!(text.starts_with(b"FC Invoke Start RequestId: r-1\n12345\n[log truncated"));
    assert_eq!(text.iter().filter(|b| **b == b'\n').count(), 3);
    log.add(&b"x\n".repeat(10_000));
    let tail = log.end("");
    assert_eq!(tail.len(), TAIL_BYTES_MAX);
    assert!(tail.ends_with(b"FC Invoke End RequestId: r-1\n"));
}

#[test]
fn broken_text_is_made_valid() {
    let mut log = log(1000, false);
    log.add(b"\xff\xfe ok\n");
    let text = log.take_pending();
    assert!(std::str::from_utf8(&text).unwrap().ends_with(" ok\n"));
}

#[tokio::test]
async fn draining_sees_what_the_runtime_has_not_noticed() {
    let (out_writer, out) = pipe::pipe().unwrap();
    let (err_writer, err) = pipe::pipe().unwrap();
    let (out_fd, err_fd): (OwnedFd, OwnedFd) =
        (out_writer.into_blocking_fd().unwrap(), err_writer.into_blocking_fd().unwrap());
    let mut output = Output::new(out, err);
    let (mut out, mut err) = (std::fs::File::from(out_fd), std::fs::File::from(err_fd));
    out.write_all(b"to out\npart").unwrap();
    err.write_all(b"to err\n").unwrap();
    // No await since the writes: the runtime cannot know.
    output.drain();
    assert_eq!(output.take(Rest::Keep), b"to out\nto err\n");
    drop((out, err));
    output.drain();
    assert_eq!(output.take(Rest::Take), b"part\n");
    let ended = tokio::time::timeout(std::time::Duration::from_millis(5), output.wait()).await;
    assert!(ended.is_err(), "ended pipes are never ready again");
}

#[tokio::test]
async fn waiting_reads_what_comes() {
    let (out_writer, out) = pipe::pipe().unwrap();
    let (_err_writer, err) = pipe::pipe().unwrap();
    let mut output = Output::new(out, err);
    out_writer.writable().await.unwrap();
    out_writer.try_write(b"line\n").unwrap();
    output.wait().await;
    assert_eq!(output.take(Rest::Keep), b"line\n");
}

proptest! {
    #[test]
    fn nothing_is_lost_whatever_the_pieces(pieces in proptest::collection::vec("[a-c\n]{0,9}", 0..20)) {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in &pieces {
            lines.add(piece.as_bytes());
            seen.extend(lines.take(Rest::Keep));
        }
        seen.extend(lines.take(Rest::Take));
        let mut expected = pieces.concat().into_bytes();
        if expected.last().is_some_and(|b| *b != b'\n') {
            expected.push(b'\n');
        }
        prop_assert_eq!(seen, expected);
    }
}
