//! Units in text: "30d", "1GiB", "0.5".

use stint_model::time::Span;

/// "30s", "1h30m", "250ms", "30d"; a bare number needs a unit.
pub(crate) fn duration(text: &str) -> Result<Span, String> {
    let wrong =
        || format!("`{text}` is no duration: write a number and ms, s, m, h or d, as in 30s");
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Span::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut micros: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest[..end].trim() {
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" | "min" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(unit).ok_or_else(wrong)?;
        micros = micros.checked_add(part).ok_or_else(wrong)?;
        rest = &rest[end..];
    }
    Ok(Span::from_micros(micros))
}

/// "128KiB", "1.5GiB", "1GB", "512" (bytes).
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size: write a number and KiB, MiB or GiB, as in 128KiB");
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let unit: u64 = match trimmed[end..].trim() {
        "" | "B" => 1,
        "KiB" | "K" | "k" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let milli = thousandths(&trimmed[..end]).ok_or_else(wrong)?;
    let bytes = u128::from(milli) * u128::from(unit) / 1_000;
    u64::try_from(bytes).map_err(|_| wrong())
}

/// "2", "0.5" vCPU, in thousandths.
pub(crate) fn cpu_milli(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no number of vCPU: write one as in 2 or 0.5");
    let milli = thousandths(text.trim()).ok_or_else(wrong)?;
    u32::try_from(milli).ok().filter(|milli| *milli > 0).ok_or_else(wrong)
}

/// "400%" or "400".
pub(crate) fn percent(text: &str) -> Result<u32, String> {
    let digits = text.trim().trim_end_matches('%').trim();
    digits.parse().map_err(|_| format!("`{text}` is no percentage: write one as in 100%"))
}

/// A decimal with at most three places, times a thousand.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || part.len() > 3 || !digits(whole) || !digits(part) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: u64 = format!("{part:0<3}").parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(part)
}

/// A size for people: "1.5 GiB".
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in units {
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// A span for people: "1.24 s", "3m 5s".
pub(crate) fn show_span(span: Span) -> String {
    let micros = span.micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        1_000_000..60_000_000 => {
            format!("{}.{:02} s", micros / 1_000_000, micros % 1_000_000 / 10_000)
        }
        _ => {
            let (d, s) = (span.secs() / 86_400, span.secs() % 86_400);
            match (d, s / 3_600, s % 3_600 / 60, s % 60) {
                (0, 0, m, s) => format!("{m}m {s}s"),
                (0, h, m, _) => format!("{h}h {m}m"),
                (d, h, _, _) => format!("{d}d {h}h"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("30s"), Ok(Span::from_secs(30)));
        assert_eq!(duration("1h30m"), Ok(Span::from_secs(5_400)));
        assert_eq!(duration("250ms"), Ok(Span::from_millis(250)));
        assert_eq!(duration("30d"), Ok(Span::from_secs(30 * 86_400)));
        assert_eq!(duration("0"), Ok(Span::ZERO));
        for bad in ["", "30", "s", "-1s", "1 fortnight", "99999999999999999999s", "1.5h", "💥"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("128KiB"), Ok(131_072));
        assert_eq!(size("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(size("1GB"), Ok(1_000_000_000));
        assert_eq!(size("512"), Ok(512));
        for bad in ["", "GiB", "1XB", "-1", "1.2345KiB", "1..2", "99999999999999999999", "💥"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cpus_and_percentages() {
        assert_eq!(cpu_milli("2"), Ok(2_000));
        assert_eq!(cpu_milli("0.35"), Ok(350));
        assert!(cpu_milli("0").is_err() && cpu_milli("two").is_err() && cpu_milli("").is_err());
        assert_eq!(percent("400%"), Ok(400));
        assert_eq!(percent("50"), Ok(50));
        assert!(percent("%").is_err());
    }

    #[test]
    fn shown_for_people() {
        assert_eq!(show_size(1_610_612_736), "1.5 GiB");
        assert_eq!(show_size(10), "10 B");
        assert_eq!(show_span(Span::from_micros(12)), "12 µs");
        assert_eq!(show_span(Span::from_micros(1_240)), "1.2 ms");
        assert_eq!(show_span(Span::from_millis(1_240)), "1.24 s");
        assert_eq!(show_span(Span::from_secs(185)), "3m 5s");
        assert_eq!(show_span(Span::from_secs(90_000)), "1d 1h");
    }
}
