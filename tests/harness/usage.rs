//! What a process and the machine use, as the kernel counts it in `/proc`.

use std::{fs, io, ops::Sub, time::Duration};

/// Processor time of one process, all threads, also those that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In the program.
    pub user: Duration,
    /// In the kernel on the program's behalf.
    pub system: Duration,
}

impl CpuTime {
    /// Both together.
    pub fn total(self) -> Duration {
        self.user + self.system
    }
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// The processor time that a process has used so far, in steps of one kernel tick (10 ms).
///
/// # Errors
///
/// If there is no such process.
pub fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
        .ok_or_else(|| malformed("/proc/PID/stat"))
}

/// Memory of a process that is in RAM (`VmRSS`), in bytes. Kernel socket buffers are not in it.
///
/// # Errors
///
/// If there is no such process.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    parse_resident(&fs::read_to_string(format!("/proc/{pid}/status"))?)
        .ok_or_else(|| malformed("/proc/PID/status"))
}

/// Processor time that anybody on the machine has used since it started.
///
/// # Errors
///
/// If the kernel does not say.
pub fn machine_busy() -> io::Result<Duration> {
    parse_busy(&fs::read_to_string("/proc/stat")?).ok_or_else(|| malformed("/proc/stat"))
}

fn parse_stat(stat: &str) -> Option<CpuTime> {
    // The program's name stands in parentheses and may itself hold blanks and parentheses.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(11).map(str::parse);
    let user = ticks(fields.next()?.ok()?);
    let system = ticks(fields.next()?.ok()?);
    Some(CpuTime { user, system })
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn parse_busy(stat: &str) -> Option<Duration> {
    let fields: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).flat_map(str::parse).collect();
    // user nice system idle iowait irq softirq steal: all that is not waiting.
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = fields[..] else {
        return None;
    };
    Some(ticks(user + nice + system + irq + softirq + steal))
}

fn ticks(count: u64) -> Duration {
    Duration::from_nanos(count * 1_000_000_000 / rustix::param::clock_ticks_per_second())
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not as expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0";
        let expected =
            CpuTime { user: Duration::from_millis(2_500), system: Duration::from_millis(500) };
        assert_eq!(parse_stat(stat), Some(expected));
        assert_eq!(parse_stat("7 (short) S 1"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(parse_resident("VmPeak:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(parse_resident("VmPeak:\t 9 kB\n"), None);
    }

    #[test]
    fn waiting_is_not_busy() {
        let stat = "cpu  100 0 100 5000 700 0 50 50 0 0\ncpu0 1 2 3\n";
        assert_eq!(parse_busy(stat), Some(Duration::from_secs(3)));
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(cpu_time(pid).unwrap().total() <= machine_busy().unwrap());
    }
}
