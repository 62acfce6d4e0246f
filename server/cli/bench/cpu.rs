//! The processor time of a process, as Linux counts it.

use std::io;
use std::time::Duration;

/// Linux tells user space its processor times in hundredths of a second, whatever the kernel counts in.
const TICK: Duration = Duration::from_millis(10);
/// The places of `utime` and `stime` after the name of the program (proc(5)).
const USER_PLACE: usize = 11;
const SYSTEM_PLACE: usize = 12;

/// What a process has used until now, all threads together, in itself and in the kernel for it.
pub(super) fn used(pid: u32) -> io::Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat: {text}")))
}

fn parse(stat: &str) -> Option<Duration> {
    // The name stands in brackets and may hold blanks and brackets itself.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<_> = fields.split_ascii_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u32>().ok();
    Some(TICK * ticks(USER_PLACE)?.checked_add(ticks(SYSTEM_PLACE)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_are_counted_whatever_the_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 31 0 0 20 0 4 0 1000 0 0";
        assert_eq!(Some(Duration::from_millis(2_810)), parse(stat));
        assert_eq!(None, parse("42 (a) S 1 2 3"));
    }
}
