//! The log over a journal: what is pushed is found, followed, bounded and retained.

#[cfg(test)]
mod log;
#[cfg(test)]
mod shelf;
