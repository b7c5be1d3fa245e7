//! How a piece of work came to its end: well, with an error, or by a panic.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What a supervised task may return: nothing, or a result whose error has a text.
pub trait Exit: Send + 'static {
    /// The error with all its sources, when there is one.
    fn failure(self) -> Option<String>;
}

impl Exit for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>> + Send + 'static> Exit for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| chain(&*error.into()))
    }
}

/// An error and its sources as one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// Work that panicked; the text is the panic's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crashed(pub String);

impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.0)
    }
}

impl Error for Crashed {}

impl Crashed {
    fn from_payload(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&'static str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "without a message".to_owned()))
    }
}

/// Runs `work` and turns a panic into a value. The caller drops what the work has touched, so
/// nothing half-changed is seen afterwards.
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, Crashed> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Crashed::from_payload(&*payload))
}

/// The same for a future.
pub(crate) async fn caught_async<F: Future>(work: F) -> Result<F::Output, Crashed> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| match caught(|| work.as_mut().poll(cx)) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(crash) => Poll::Ready(Err(crash)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_sources() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("open the book")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let failed: Result<(), Outer> = Err(Outer(std::io::Error::other("disk on fire")));
        assert_eq!(failed.failure().as_deref(), Some("open the book: disk on fire"));
        assert_eq!(Ok::<(), Outer>(()).failure(), None);
        assert_eq!(().failure(), None);
    }

    #[tokio::test]
    async fn a_panic_becomes_a_value() {
        assert_eq!(caught(|| 5), Ok(5));
        assert_eq!(caught_async(async { 5 }).await, Ok(5));
        let crash = caught_async(async { panic!("number {}", 7) }).await;
        assert_eq!(crash, Err::<(), _>(Crashed("number 7".to_owned())));
        assert_eq!(Crashed("x".to_owned()).to_string(), "panicked: x");
    }
}
