//! The page that clients get instead of a line of text, made of a template in Go's words:
//! `{{.Status}}`, `{{.StatusText}}`, `{{.Message}}`, `{{.Header.Get "NAME"}}`, and
//! `{{if ...}}`, `{{else if ...}}`, `{{else}}`, `{{end}}` with one of those, or `eq` or `ne` of two.
//! Pure.

use std::iter::Peekable;

/// How deep conditions may stand in each other.
const DEPTH_MAX: usize = 16;
const KNOWN: &str = ".Status, .StatusText, .Message, .Header.Get \"NAME\", if, else, end, eq, ne";

/// The template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage(Vec<Piece>);

/// What a page tells.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The status code.
    pub status: u16,
    /// Its usual words.
    pub status_text: &'a str,
    /// What is wrong.
    pub message: &'a str,
    /// The answer's headers that are known by now.
    pub headers: &'a [(&'a str, &'a str)],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Operand),
    Either { condition: Condition, then: Vec<Self>, otherwise: Vec<Self> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Status,
    StatusText,
    Message,
    Header(String),
    Literal(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Is(Operand),
    Same(Operand, Operand, bool),
}

/// A part of the template's text: as it is, or between braces.
#[derive(Debug)]
enum Part<'t> {
    Text(&'t str),
    Action(&'t str),
}

/// What ends a run of pieces.
enum Ending {
    Whole,
    End,
    Else(Option<Condition>),
}

// === impl ErrorPage ===

impl ErrorPage {
    /// Reads a template, or says what of it is not understood.
    pub fn parse(template: &str) -> Result<Self, String> {
        let parts = split(template)?;
        let (pieces, ending) = pieces(&mut parts.iter().peekable(), 0)?;
        match ending {
            Ending::Whole => Ok(Self(pieces)),
            Ending::End | Ending::Else(_) => Err("{{else}} or {{end}} without {{if}}".to_owned()),
        }
    }

    /// The page; what was not in the template is escaped.
    pub fn render(&self, told: &Told<'_>) -> String {
        let mut out = String::new();
        render(&self.0, told, &mut out);
        out
    }
}

fn render(pieces: &[Piece], told: &Told<'_>, out: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Value(operand) => escape(&operand.value(told), out),
            Piece::Either { condition, then, otherwise } => {
                render(if condition.holds(told) { then } else { otherwise }, told, out);
            }
        }
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '+' => out.push_str("&#43;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

impl Operand {
    fn value(&self, told: &Told<'_>) -> String {
        match self {
            Self::Status => told.status.to_string(),
            Self::StatusText => told.status_text.to_owned(),
            Self::Message => told.message.to_owned(),
            Self::Literal(text) => text.clone(),
            Self::Header(name) => {
                let found = told.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
                found.map_or(String::new(), |(_, value)| (*value).to_owned())
            }
        }
    }
}

impl Condition {
    fn holds(&self, told: &Told<'_>) -> bool {
        match self {
            Self::Is(operand) => !operand.value(told).is_empty(),
            Self::Same(one, other, is_wanted) => {
                (one.value(told) == other.value(told)) == *is_wanted
            }
        }
    }
}

/// Text and actions in their order. A dash at an action's brace takes the blanks before or after it.
fn split(template: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut parts, mut rest) = (Vec::new(), template);
    let mut is_trimmed = false;
    loop {
        let (text, after) = match rest.split_once("{{") {
            Some((text, after)) => (text, Some(after)),
            None => (rest, None),
        };
        let text = if is_trimmed { text.trim_start() } else { text };
        let Some(after) = after else {
            parts.push(Part::Text(text));
            return Ok(parts);
        };
        let (action, next) =
            after.split_once("}}").ok_or("an action without its end: {{ but no }}")?;
        let trims = |dashed: Option<&str>| dashed.is_some_and(|a| a.starts_with([' ', '\n', '\t']));
        let before = action.strip_prefix('-').filter(|rest| trims(Some(rest)));
        parts.push(Part::Text(if before.is_some() { text.trim_end() } else { text }));
        let action = before.unwrap_or(action);
        let behind = action.strip_suffix('-').filter(|rest| rest.ends_with([' ', '\n', '\t']));
        is_trimmed = behind.is_some();
        let action = behind.unwrap_or(action).trim();
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            parts.push(Part::Action(action));
        }
        rest = next;
    }
}

type Parts<'p, 't> = Peekable<std::slice::Iter<'p, Part<'t>>>;

fn pieces(parts: &mut Parts<'_, '_>, depth: usize) -> Result<(Vec<Piece>, Ending), String> {
    if depth > DEPTH_MAX {
        return Err(format!("conditions stand in each other more than {DEPTH_MAX} deep"));
    }
    let mut found = Vec::new();
    while let Some(part) = parts.next() {
        let action = match part {
            Part::Text("") => continue,
            Part::Text(text) => {
                found.push(Piece::Text((*text).to_owned()));
                continue;
            }
            Part::Action(action) => *action,
        };
        let words = words(action)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["if", condition @ ..] => found.push(either(condition, parts, depth)?),
            ["else"] => return Ok((found, Ending::Else(None))),
            ["else", "if", rest @ ..] => {
                return Ok((found, Ending::Else(Some(condition(rest)?))));
            }
            ["end"] => return Ok((found, Ending::End)),
            operand => found.push(Piece::Value(whole_operand(operand)?)),
        }
    }
    Ok((found, Ending::Whole))
}

fn either(words: &[&str], parts: &mut Parts<'_, '_>, depth: usize) -> Result<Piece, String> {
    let mut arms = vec![];
    let mut next = Some(condition(words)?);
    let mut otherwise = Vec::new();
    while let Some(condition) = next.take() {
        let (then, ending) = pieces(parts, depth + 1)?;
        arms.push((condition, then));
        match ending {
            Ending::Whole => return Err("{{if}} without {{end}}".to_owned()),
            Ending::End => {}
            Ending::Else(Some(condition)) => next = Some(condition),
            Ending::Else(None) => {
                let (last, ending) = pieces(parts, depth + 1)?;
                if !matches!(ending, Ending::End) {
                    return Err("{{else}} without {{end}}".to_owned());
                }
                otherwise = last;
            }
        }
    }
    for (condition, then) in arms.into_iter().rev() {
        otherwise = vec![Piece::Either { condition, then, otherwise }];
    }
    otherwise.pop().ok_or_else(|| "{{if}} of nothing".to_owned())
}

fn condition(words: &[&str]) -> Result<Condition, String> {
    match words {
        [how @ ("eq" | "ne"), rest @ ..] => {
            let (one, rest) = operand(rest)?;
            Ok(Condition::Same(one, whole_operand(rest)?, *how == "eq"))
        }
        words => whole_operand(words).map(Condition::Is),
    }
}

fn whole_operand(words: &[&str]) -> Result<Operand, String> {
    match operand(words)? {
        (operand, []) => Ok(operand),
        (_, rest) => Err(unknown(&rest.join(" "))),
    }
}

fn operand<'w, 's>(words: &'w [&'s str]) -> Result<(Operand, &'w [&'s str]), String> {
    match words {
        ["(", rest @ ..] => match operand(rest)? {
            (operand, [")", rest @ ..]) => Ok((operand, rest)),
            (_, rest) => Err(unknown(&rest.join(" "))),
        },
        [".Status", rest @ ..] => Ok((Operand::Status, rest)),
        [".StatusText", rest @ ..] => Ok((Operand::StatusText, rest)),
        [".Message", rest @ ..] => Ok((Operand::Message, rest)),
        [".Header.Get", name, rest @ ..] if name.starts_with('"') => {
            Ok((Operand::Header(name[1..].to_owned()), rest))
        }
        [text, rest @ ..] if text.starts_with('"') => {
            Ok((Operand::Literal(text[1..].to_owned()), rest))
        }
        [number, rest @ ..] if number.bytes().all(|b| b.is_ascii_digit()) => {
            Ok((Operand::Literal((*number).to_owned()), rest))
        }
        words => Err(unknown(&words.join(" "))),
    }
}

fn unknown(what: &str) -> String {
    format!("`{what}` is not understood; there are {KNOWN}")
}

/// The words of an action; a text keeps its first quote, and no other.
fn words(action: &str) -> Result<Vec<String>, String> {
    let (mut words, mut rest) = (Vec::new(), action.trim_start());
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '`' => {
                let (text, after) = rest[1..].split_once(first).ok_or_else(|| unknown(action))?;
                if text.contains('\\') {
                    return Err(format!("a text with a backslash: {text}"));
                }
                (format!("\"{text}"), after)
            }
            '(' | ')' => (first.to_string(), &rest[1..]),
            _ => {
                let ends = |c: char| c.is_whitespace() || "()\"`".contains(c);
                let end = rest.find(ends).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(template: &str) -> String {
        let told = Told {
            status: 404,
            status_text: "Not Found",
            message: "Route ('a<b>') & \"more\"",
            headers: &[("X-Cf-RouterError", "unknown_route")],
        };
        ErrorPage::parse(template).unwrap().render(&told)
    }

    #[test]
    fn what_is_told_stands_where_the_template_says() {
        for (template, expected) in [
            ("", ""),
            ("<p>as it is</p>\n", "<p>as it is</p>\n"),
            ("{{.Status}} {{ .StatusText }}", "404 Not Found"),
            ("{{.Message}}", "Route (&#39;a&lt;b&gt;&#39;) &amp; &#34;more&#34;"),
            ("{{.Header.Get \"X-Cf-RouterError\"}}", "unknown_route"),
            ("{{ .Header.Get `x-cf-routererror` }}", "unknown_route"),
            ("[{{.Header.Get \"None\"}}]", "[]"),
            ("a {{- .Status -}} b", "a404b"),
            ("a {{/* nothing */}} b", "a  b"),
            ("{{if .Message}}y{{end}}", "y"),
            ("{{if .Header.Get \"None\"}}y{{else}}n{{end}}", "n"),
            ("{{if eq .Status 404}}y{{else}}n{{end}}", "y"),
            ("{{if ne .Status 404}}y{{else}}n{{end}}", "n"),
            (
                "{{if eq (.Header.Get \"X-Cf-RouterError\") \"x\"}}1{{else if eq .Status 404}}2{{end}}",
                "2",
            ),
            ("{{if eq .Status 503}}1{{else if eq .Status 502}}2{{else}}3{{end}}", "3"),
            ("{{if .Status}}{{if .Message}}both{{end}}{{end}}!", "both!"),
            ("}} { {", "}} { {"),
        ] {
            assert_eq!(page(template), expected, "{template}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (template, part) in [
            ("{{.Status", "no }}"),
            ("{{.Stat}}", "`.Stat` is not understood"),
            ("{{.Header.Get}}", "is not understood"),
            ("{{.Header.Get .Status}}", "is not understood"),
            ("{{range .Header}}{{end}}", "`range .Header`"),
            ("{{.Message | html}}", "`| html`"),
            ("{{if .Status}}", "without {{end}}"),
            ("{{if .Status}}{{else}}", "without {{end}}"),
            ("{{end}}", "without {{if}}"),
            ("{{if eq .Status}}{{end}}", "is not understood"),
            ("{{if}}{{end}}", "is not understood"),
            ("{{\"open}}", "is not understood"),
            ("{{(.Status}}", "is not understood"),
            ("{{.Header.Get \"a\\n\"}}", "backslash"),
            (&"{{if .Status}}".repeat(40), "16 deep"),
        ] {
            let refused = ErrorPage::parse(template).unwrap_err();
            assert!(refused.contains(part), "{template}: {refused}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_template_is_a_page_or_refused(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                "{{", "}}", "if ", "else", "end", ".Status", ".Message", "\"", "`", "(", ")", "- ",
                " -", "eq ", "x", " ", "{{if .Status}}", "{{end}}", "{{else}}", "\u{e9}", "/*", "*/",
            ]), 0..30),
        ) {
            let told = Told { status: 1, status_text: "", message: "", headers: &[] };
            let _ = ErrorPage::parse(&parts.concat()).map(|page| page.render(&told));
        }
    }
}
