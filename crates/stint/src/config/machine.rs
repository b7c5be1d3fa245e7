//! What this machine has, for settings that say `auto`.

use stint_model::limit::Resources;

/// vCPU this process may use and memory of the machine (or of the control group around us).
pub(crate) fn offered() -> Resources {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu_milli = u32::try_from(cpus).unwrap_or(u32::MAX).saturating_mul(1_000);
    let total = memory_total().min(cgroup_limit().unwrap_or(u64::MAX));
    Resources { cpu_milli, memory_mb: u32::try_from(total >> 20).unwrap_or(u32::MAX) }
}

fn memory_total() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    parse_total(&text).unwrap_or(1 << 30)
}

fn parse_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The limit of the control group a container gave us, when it shows one.
fn cgroup_limit() -> Option<u64> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    files.iter().find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_offers_something() {
        let offered = offered();
        assert!(offered.cpu_milli >= 1_000 && offered.memory_mb >= 128, "{offered:?}");
    }

    #[test]
    fn meminfo_reads() {
        assert_eq!(parse_total("MemTotal:       1024 kB\nMemFree: 3 kB\n"), Some(1 << 20));
        assert_eq!(parse_total("nothing"), None);
    }
}
