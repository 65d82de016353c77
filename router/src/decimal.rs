//! Numbers as decimal digits. `fmt` would take several times as long, for each of the numbers in a
//! head or an access line. Pure.

/// The most digits of a number.
const DIGITS_MAX: usize = 20;

/// Appends a number.
pub(crate) fn push(out: &mut Vec<u8>, number: u64) {
    push_padded(out, number, 1);
}

/// Appends a number with zeros before it, so that it has at least `width` digits, but no more than
/// 20.
pub(crate) fn push_padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut digits = [b'0'; DIGITS_MAX];
    let (mut left, mut at) = (number, DIGITS_MAX);
    while left > 0 {
        at -= 1;
        digits[at] = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    let begin = at.min(DIGITS_MAX.saturating_sub(width.max(1)));
    out.extend_from_slice(&digits[begin..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn padded(number: u64, width: usize) -> String {
        let mut out = Vec::new();
        push_padded(&mut out, number, width);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn numbers_read_as_everywhere(number in any::<u64>(), shift in 0..64, width in 1..20_usize) {
            let number = number >> shift;
            prop_assert_eq!(padded(number, width), format!("{number:0width$}"));
            let mut out = Vec::new();
            push(&mut out, number);
            prop_assert_eq!(out, number.to_string().into_bytes());
        }
    }

    #[test]
    fn zero_is_a_digit() {
        assert_eq!((padded(0, 1).as_str(), padded(7, 3).as_str()), ("0", "007"));
        assert_eq!(padded(u64::MAX, 30), u64::MAX.to_string());
    }
}
