//! Which ports of the host instances may be given; pure.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

/// The lowest port that may be among them; those below belong to well-known servers.
const FIRST_MIN: u16 = 1024;

/// A range of host ports, written `61000-65535`. The default is above those that Linux takes for
/// outgoing connections unless it is told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPorts {
    first: u16,
    last: u16,
}

// === impl HostPorts ===

impl HostPorts {
    /// All of them.
    pub const fn range(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// How many there are.
    pub fn count(self) -> u64 {
        u64::from(self.last - self.first) + 1
    }

    /// What is wrong with them where so many instances are to have one each.
    pub fn too_few_for(self, containers: u64) -> Option<String> {
        let count = self.count();
        (count < containers).then(|| {
            format!(
                "the host ports {self} are {count}, too few for {containers} instances with one \
                 each"
            )
        })
    }
}

impl Default for HostPorts {
    fn default() -> Self {
        Self { first: 61_000, last: u16::MAX }
    }
}

impl fmt::Display for HostPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for HostPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.trim().parse::<u16>().ok();
        let ends = text.split_once('-').and_then(|(a, b)| Some((port(a)?, port(b)?)));
        let Some((first, last)) = ends else {
            return Err(format!(
                "write two ports, the lower one first, such as {}",
                Self::default()
            ));
        };
        if first > last {
            return Err(format!("{first} is above {last}; write the lower port first"));
        }
        if first < FIRST_MIN {
            return Err(format!(
                "{first} is below {FIRST_MIN}, where well-known servers listen; begin at \
                 {FIRST_MIN} or above"
            ));
        }
        Ok(Self { first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_it_is_written() {
        for text in ["61000-65535", "1024-1024", "20000-29999"] {
            assert_eq!(text.parse::<HostPorts>().unwrap().to_string(), text);
        }
        assert_eq!(HostPorts::default().to_string(), "61000-65535");
        assert_eq!("30000 - 30009".parse::<HostPorts>().unwrap().range(), 30_000..=30_009);
    }

    #[test]
    fn what_is_no_range_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "write two ports"),
            ("61000", "write two ports"),
            ("61000-", "write two ports"),
            ("-61000", "write two ports"),
            ("61000-70000", "such as 61000-65535"),
            ("61000:62000", "write two ports"),
            ("62000-61000", "62000 is above 61000"),
            ("80-2000", "80 is below 1024"),
            ("0-9", "0 is below 1024"),
        ] {
            let said = text.parse::<HostPorts>().unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn there_must_be_a_port_for_each_instance() {
        let ports: HostPorts = "30000-30009".parse().unwrap();
        assert_eq!((ports.count(), ports.too_few_for(10)), (10, None));
        let said = ports.too_few_for(11).unwrap();
        assert_eq!(
            said,
            "the host ports 30000-30009 are 10, too few for 11 instances with one each"
        );
        assert_eq!(HostPorts::default().count(), 4_536);
    }
}
