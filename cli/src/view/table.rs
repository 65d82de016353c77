//! Tables without borders, which also read well in a pipe.

use comfy_table::{Cell, Color, Table, presets};

use super::palette::Palette;

/// What a cell's colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    Plain,
    /// All is well.
    Good,
    /// On its way.
    Waiting,
    /// Failed.
    Bad,
}

/// One cell.
pub type Toned = (String, Tone);

/// A cell without a colour; `-` for nothing.
pub fn plain(text: impl Into<String>) -> Toned {
    let text = text.into();
    (if text.is_empty() { "-".to_owned() } else { text }, Tone::Plain)
}

/// Lines of aligned columns below their names.
pub fn render(names: &[&str], rows: Vec<Vec<Toned>>, palette: Palette) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    if palette.is_on() {
        table.enforce_styling();
    }
    table.set_header(names.iter().map(|name| Cell::new(name.to_uppercase())));
    for row in rows {
        table.add_row(row.into_iter().map(|(text, tone)| match color(tone) {
            Some(color) => Cell::new(visible(&text)).fg(color),
            None => Cell::new(visible(&text)),
        }));
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 3));
    });
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// Text of strangers as a terminal may have it: what would move its cursor or change its colours is
/// written out.
pub fn visible(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Two columns: names and values.
pub fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| {
        let mut lines = value.lines();
        let first = lines.next().unwrap_or_default();
        let more: String = lines.map(|l| format!("{:width$}   {l}\n", "")).collect();
        format!("{}\n{more}", format!("{name:width$}   {first}").trim_end())
    };
    rows.iter().map(line).collect()
}

fn color(tone: Tone) -> Option<Color> {
    match tone {
        Tone::Plain => None,
        Tone::Good => Some(Color::Green),
        Tone::Waiting => Some(Color::Yellow),
        Tone::Bad => Some(Color::Red),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = vec![vec![plain("a"), plain("")], vec![plain("longer"), plain("x")]];
        let text = render(&["Name", "Value"], rows, Palette::new(false));
        assert_eq!(text, "NAME     VALUE\na        -\nlonger   x\n");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let rows = vec![
            vec![("ok".to_owned(), Tone::Good), plain("1")],
            vec![("bad".to_owned(), Tone::Bad), plain("2")],
        ];
        let text = render(&["S", "N"], rows, Palette::new(true));
        assert!(text.contains("\x1b["), "{text:?}");
        assert!(text.contains("1") && text.lines().count() == 3);
    }

    #[test]
    fn no_cell_commands_the_terminal() {
        let rows = vec![vec![plain("a\x1b[2J\u{9b}1mb"), ("\r\x07".to_owned(), Tone::Bad)]];
        let text = render(&["Name", "Value"], rows, Palette::new(false));
        assert!(text.contains("a\\u{1b}[2J\\u{9b}1mb   \\r\\u{7}"), "{text:?}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    }

    #[test]
    fn several_lines_stay_in_their_column() {
        let rows = [("Routes", "a\nb".to_owned()), ("X", String::new())];
        assert_eq!(pairs(&rows), "Routes   a\n         b\nX\n");
    }
}
