//! How sums are written: a line for each hour and function, `1` for this form, the hour, the name, the
//! numbers in order. A later form may have more numbers; those that are not there are zero.

use std::sync::Arc;

use super::Sums;

const VERSION: &str = "1";

pub(super) fn write<'a>(
    hour: i64,
    functions: impl Iterator<Item = (&'a Arc<str>, &'a Sums)>,
) -> Vec<u8> {
    let mut text = String::new();
    for (name, sums) in functions {
        text.push_str(VERSION);
        text.push('\t');
        text.push_str(&hour.to_string());
        text.push('\t');
        text.push_str(name);
        for field in sums.fields() {
            text.push('\t');
            text.push_str(&field.to_string());
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// Lines of another form, and lines that cannot be read, are left out.
pub(super) fn read(body: &[u8]) -> Vec<(i64, Arc<str>, Sums)> {
    let text = String::from_utf8_lossy(body);
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<(i64, Arc<str>, Sums)> {
    let mut parts = line.split('\t');
    if parts.next() != Some(VERSION) {
        return None;
    }
    let (hour, name) = (parts.next()?.parse().ok()?, parts.next()?);
    let mut sums = Sums::default();
    for (field, part) in sums.fields_mut().into_iter().zip(parts) {
        *field = part.parse().ok()?;
    }
    Some((hour, name.into(), sums))
}
