//! `Date` headers. Pure.

use lattice_model::Time;

use crate::calendar;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn text(at: Time) -> [u8; 29] {
    let secs = at.0.div_euclid(1_000_000_000);
    let (days, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (year, month, day) = calendar::civil(days);
    let mut text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[index(days.rem_euclid(7))].as_bytes());
    text[8..11].copy_from_slice(MONTHS[index(month - 1)].as_bytes());
    for (at, number) in [
        (5, day),
        (12, year / 100),
        (14, year % 100),
        (17, second / 3600),
        (20, second / 60 % 60),
        (23, second % 60),
    ] {
        text[at] = digit(number / 10);
        text[at + 1] = digit(number);
    }
    text
}

fn digit(number: i64) -> u8 {
    b"0123456789"[index(number.rem_euclid(10))]
}

fn index(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

#[test]
fn dates_are_those_of_the_rfc() {
    for (secs, expected) in [
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
    ] {
        assert_eq!(std::str::from_utf8(&text(Time::from_secs(secs))).unwrap(), expected);
    }
}
