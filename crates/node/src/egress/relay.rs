//! Bytes between an instance and whom it has reached, both ways, counted, until both have ended or
//! nothing has come for too long.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use stint_model::time::{Span, Timestamp};
use stint_supervise::Clock;
use tokio::net::TcpStream;

/// Taken when something comes and given back when nothing more is there, so that a thousand quiet
/// connections cost nothing.
const BUFFER_BYTES: usize = 64 << 10;

/// What an instance has sent and received through its door, and how often it was let through.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) connections: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

/// Carries until the end.
pub(crate) async fn relay(
    inside: &TcpStream,
    outside: &TcpStream,
    traffic: &Traffic,
    clock: &Clock,
    idle: Span,
) {
    let last = Last { at: AtomicI64::new(clock.now().micros()), clock, idle };
    let total = |way| metrics::counter!("stint_egress_bytes_total", "direction" => way);
    let up = carry(inside, outside, (&traffic.sent, total("sent")), &last);
    let down = carry(outside, inside, (&traffic.received, total("received")), &last);
    let both = async { tokio::join!(up, down) };
    tokio::select! {
        // Each has shut its half; dropping the wait loses nothing.
        _ = both => {}
        // Dropping closes both connections, which is the point.
        () = last.silence() => tracing::debug!("an egress connection was idle for too long"),
    }
}

/// When something moved last, in either direction.
struct Last<'a> {
    at: AtomicI64,
    clock: &'a Clock,
    idle: Span,
}

impl Last<'_> {
    fn moved(&self) {
        self.at.store(self.clock.now().micros(), Ordering::Relaxed);
    }

    /// Returns when nothing has moved for long enough.
    async fn silence(&self) {
        loop {
            let until = Timestamp::from_micros(self.at.load(Ordering::Relaxed)) + self.idle;
            if self.clock.now() >= until {
                return;
            }
            self.clock.sleep_until(until).await;
        }
    }
}

/// One direction. Its end, good or bad, ends the other side's reading, too.
async fn carry(
    from: &TcpStream,
    to: &TcpStream,
    (count, total): (&AtomicU64, metrics::Counter),
    last: &Last<'_>,
) {
    while from.readable().await.is_ok() {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match from.try_read(&mut buffer) {
                Ok(0) => return shut(to),
                Ok(n) => {
                    last.moved();
                    let bytes = u64::try_from(n).unwrap_or(0);
                    count.fetch_add(bytes, Ordering::Relaxed);
                    total.increment(bytes);
                    if write_all(to, &buffer[..n]).await.is_err() {
                        return shut(from);
                    }
                    last.moved();
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return shut(to),
            }
        }
    }
}

/// Writes everything.
pub(crate) async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn shut(stream: &TcpStream) {
    // Gone already is as good.
    rustix::net::shutdown(stream, rustix::net::Shutdown::Write).ok();
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let left = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (left, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn halves_close_one_by_one_and_bytes_are_counted() {
        let ((mut guest, inside), (outside, mut server)) = (pair().await, pair().await);
        let (traffic, clock) = (Traffic::default(), Clock::start());
        let work = relay(&inside, &outside, &traffic, &clock, Span::from_secs(60));
        let talk = async {
            let large = vec![7; 1 << 20];
            let (sent, got) = tokio::join!(
                async {
                    guest.write_all(&large).await.unwrap();
                    guest.shutdown().await.unwrap();
                },
                async {
                    let mut got = Vec::new();
                    server.read_to_end(&mut got).await.unwrap();
                    got
                }
            );
            assert_eq!(((), got.len()), (sent, large.len()));
            server.write_all(b"answer").await.unwrap();
            drop(server);
            let mut answer = String::new();
            guest.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let ((), answer) = tokio::join!(work, talk);
        assert_eq!(answer, "answer");
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        assert_eq!((get(&traffic.sent), get(&traffic.received)), (1 << 20, 6));
    }

    #[tokio::test]
    async fn silence_ends_it() {
        let ((mut guest, inside), (outside, _server)) = (pair().await, pair().await);
        let (traffic, (clock, time)) =
            (Traffic::default(), Clock::simulated(Timestamp::from_micros(1)));
        let work = relay(&inside, &outside, &traffic, &clock, Span::from_secs(60));
        let wait = async {
            while time.sleepers() == 0 {
                tokio::task::yield_now().await;
            }
            time.advance(Span::from_secs(61));
        };
        tokio::join!(work, wait);
        drop((inside, outside));
        assert_eq!(guest.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
