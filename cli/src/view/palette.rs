//! Colours, or none.

use anstyle::{AnsiColor, Style};

/// Colours text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub struct Palette {
    is_on: bool,
}

impl Palette {
    /// One that colours, or one that does not.
    pub const fn new(is_on: bool) -> Self {
        Self { is_on }
    }

    /// True when it colours.
    pub const fn is_on(self) -> bool {
        self.is_on
    }

    /// All is well.
    pub fn green(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }

    /// On its way, or to be heeded.
    pub fn yellow(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default(), text)
    }

    /// Failed.
    pub fn red(self, text: &str) -> String {
        self.paint(AnsiColor::BrightRed.on_default(), text)
    }

    /// Times and names.
    pub fn cyan(self, text: &str) -> String {
        self.paint(AnsiColor::Cyan.on_default(), text)
    }

    /// Less important.
    pub fn dim(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    fn paint(self, style: Style, text: &str) -> String {
        if !self.is_on || text.trim().is_empty() {
            return text.to_owned();
        }
        format!("{style}{text}{style:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_text_and_a_palette_that_is_off_have_no_escape_codes() {
        assert_eq!(Palette::new(false).red("x"), "x");
        assert_eq!(Palette::new(true).red("  "), "  ");
        assert_eq!(Palette::new(true).green("x"), "\x1b[32mx\x1b[0m");
    }
}
