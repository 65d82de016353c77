//! Cuts a stream of bytes into lines; pure.
//!
//! A line ends at `\n` or `\r`; empty ones vanish; one that is longer than an envelope may be is
//! cut on a UTF-8 boundary; what is left at the end of the stream is a line.

use lattice_model::envelope::LINE_BYTES_MAX;

/// Holds the line that has not ended yet; never more than [`LINE_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub struct Splitter {
    partial: Vec<u8>,
}

// === impl Splitter ===

impl Splitter {
    /// Takes more bytes in and gives every line that is complete.
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        let mut pieces = bytes.split(|b| matches!(b, b'\n' | b'\r')).peekable();
        while let Some(piece) = pieces.next() {
            self.append(piece, &mut line);
            if pieces.peek().is_some() {
                self.finish(&mut line);
            }
        }
    }

    /// Gives what is left, at the end of the stream.
    pub fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(&self.partial);
            self.partial.clear();
        }
    }

    /// How many bytes of a line that has only begun it holds.
    pub fn held(&self) -> usize {
        self.partial.len()
    }

    fn append(&mut self, mut piece: &[u8], line: &mut impl FnMut(&[u8])) {
        while self.partial.len() + piece.len() > LINE_BYTES_MAX {
            let taken = LINE_BYTES_MAX - self.partial.len();
            self.partial.extend_from_slice(&piece[..taken]);
            piece = &piece[taken..];
            let cut = boundary(&self.partial);
            line(&self.partial[..cut]);
            self.partial.drain(..cut);
        }
        self.partial.extend_from_slice(piece);
    }
}

/// Where to cut a full buffer so that no character is torn: at most 3 bytes before its end. Bytes
/// that are no UTF-8 are cut at the end.
fn boundary(full: &[u8]) -> usize {
    let tail = full.len().saturating_sub(3)..full.len();
    for start in tail.rev() {
        let width = match full[start] {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            0b1000_0000..=0b1011_1111 => continue,
            _ => return full.len(),
        };
        return if start + width > full.len() { start } else { full.len() };
    }
    full.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |line| lines.push(line.to_vec()));
        }
        splitter.finish(|line| lines.push(line.to_vec()));
        lines
    }

    #[test]
    fn lines_end_at_newline_and_return_and_empty_ones_vanish() {
        for (written, expected) in [
            ("a\nb\n", vec!["a", "b"]),
            ("a\r\nb\r\n\r\n", vec!["a", "b"]),
            ("\n\n\n", vec![]),
            ("progress 1\rprogress 2\r", vec!["progress 1", "progress 2"]),
            ("no end", vec!["no end"]),
            ("", vec![]),
        ] {
            let expected: Vec<Vec<u8>> =
                expected.into_iter().map(|line: &str| line.into()).collect();
            assert_eq!(split(&[written.as_bytes()]), expected, "{written:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_before_the_character_that_does_not_fit() {
        for (character, moved) in [("é", 1), ("€", 2), ("🙂", 3)] {
            let mut text = "x".repeat(LINE_BYTES_MAX - moved);
            text.push_str(character);
            text.push_str("tail");
            let lines = split(&[text.as_bytes()]);
            assert_eq!(lines.len(), 2, "{character}");
            assert_eq!(lines[0].len(), LINE_BYTES_MAX - moved);
            assert_eq!(lines[1], format!("{character}tail").as_bytes());
        }
    }

    #[test]
    fn a_line_of_exactly_the_greatest_length_stays_whole() {
        let text = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(split(&[text.as_bytes(), b"\n"]), [text.as_bytes()]);
    }

    proptest! {
        #[test]
        fn however_bytes_arrive_the_lines_are_the_same(
            text in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()],
                0..300,
            ),
            size in 1_usize..50,
        ) {
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            prop_assert_eq!(split(&chunks), split(&[&text]));
        }

        #[test]
        fn no_byte_of_a_line_is_lost_and_no_line_is_too_long(
            length in LINE_BYTES_MAX - 5..LINE_BYTES_MAX * 2 + 5, fill in "[xé€🙂]{1,7}",
        ) {
            let text: String = fill.chars().cycle().take(length / 2).collect();
            let lines = split(&[text.as_bytes()]);
            prop_assert!(lines.iter().all(|line| line.len() <= LINE_BYTES_MAX));
            prop_assert!(lines.iter().all(|line| std::str::from_utf8(line).is_ok()));
            prop_assert_eq!(lines.concat(), text.as_bytes());
        }
    }
}
