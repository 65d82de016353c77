//! The only mouth: data goes to standard output, talk and progress to standard error.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::view::amount::bytes;
use crate::view::palette::Palette;

/// What standard output carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Where a command's words go. Cheap to clone.
#[derive(Clone)]
pub struct Out(Arc<Inner>);

struct Inner {
    stdout: Mutex<Box<dyn Write + Send>>,
    stderr: Mutex<Box<dyn Write + Send>>,
    data: Palette,
    talk: Palette,
    /// True when standard error is a terminal that can be drawn on.
    live: bool,
    /// True when standard output is a terminal that can be redrawn.
    screen: bool,
    format: Format,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    bar: Option<ProgressBar>,
    milestones: Milestones,
}

/// Decides which of many progress reports become a line where nothing can be redrawn.
#[derive(Debug, Default)]
struct Milestones {
    label: String,
    quarter: u64,
}

// === impl Out ===

impl Out {
    /// The process's own standard output and error.
    pub fn terminal(format: Format, is_coloured: bool) -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let coloured = |choice: ColorChoice| is_coloured && choice != ColorChoice::Never;
        Self(Arc::new(Inner {
            data: Palette::new(coloured(AutoStream::choice(&stdout))),
            talk: Palette::new(coloured(AutoStream::choice(&stderr))),
            live: stderr.is_terminal(),
            screen: stdout.is_terminal(),
            // What is coloured is decided above; an app's own colours pass as they are.
            stdout: Mutex::new(Box::new(AutoStream::always(stdout))),
            stderr: Mutex::new(Box::new(AutoStream::always(stderr))),
            format,
            progress: Mutex::default(),
        }))
    }

    /// Two writers that are no terminals.
    pub fn plain(
        format: Format,
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
    ) -> Self {
        Self(Arc::new(Inner {
            stdout: Mutex::new(stdout),
            stderr: Mutex::new(stderr),
            data: Palette::new(false),
            talk: Palette::new(false),
            live: false,
            screen: false,
            format,
            progress: Mutex::default(),
        }))
    }

    /// True when standard output is for programs.
    pub fn is_json(&self) -> bool {
        self.0.format == Format::Json
    }

    /// Colours of standard output.
    pub fn palette(&self) -> Palette {
        self.0.data
    }

    /// Colours of standard error.
    pub fn talk_palette(&self) -> Palette {
        self.0.talk
    }

    /// Writes data, ending its last line.
    pub fn data(&self, text: &str) -> Outcome {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.above_progress(|| {
            let mut stdout = lock(&self.0.stdout);
            write!(stdout, "{text}{end}").and_then(|()| stdout.flush()).map_err(cannot_write)
        })
    }

    /// Writes one JSON document on one line.
    pub fn json(&self, value: &impl Serialize) -> Outcome {
        let text = serde_json::to_string(value).expect("our own types are JSON");
        self.data(&text)
    }

    /// Writes `value` for programs, or what `text` makes of it for people.
    pub fn show<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T, Palette) -> String,
    ) -> Outcome {
        match self.is_json() {
            true => self.json(value),
            false => self.data(&text(value, self.palette())),
        }
    }

    /// Forgets what the screen shows, where it is one, so that the next data replaces it.
    pub fn clear_screen(&self) {
        if self.0.screen && !self.is_json() {
            let mut stdout = lock(&self.0.stdout);
            let _ = write!(stdout, "\x1b[H\x1b[2J");
        }
    }

    /// Says something to the person.
    pub fn say(&self, text: &str) {
        self.above_progress(|| {
            let _ = writeln!(lock(&self.0.stderr), "{text}");
        });
    }

    /// Says something the person should heed.
    pub fn warn(&self, text: &str) {
        self.say(&format!("{} {text}", self.0.talk.yellow("warning:")));
    }

    /// Says why the command failed and what to try next.
    pub fn fail(&self, failure: &Failure) {
        self.end_progress();
        if failure.message.is_empty() {
            return;
        }
        self.say(&format!("{} {}", self.0.talk.red("error:"), failure.message));
        for command in &failure.next {
            self.say(&format!("  {} {command}", self.0.talk.cyan("try:")));
        }
    }

    /// Shows how far something has come, replacing what was shown before; without a terminal
    /// each new thing and each quarter is a line. `total` is 0 while unknown.
    pub fn progress(&self, label: &str, done: u64, total: u64) {
        if !self.0.live {
            let line = lock(&self.0.progress).milestones.line(label, done, total);
            line.into_iter().for_each(|line| self.say(&line));
            return;
        }
        let mut progress = lock(&self.0.progress);
        let bar = progress.bar.get_or_insert_with(new_bar);
        if total > 0 {
            bar.set_length(total);
            bar.set_position(done);
        }
        bar.set_style(style(total));
        bar.set_message(label.to_owned());
    }

    /// Shows that something is awaited, where that can be taken back.
    pub fn idle(&self, label: &str) {
        if self.0.live {
            self.progress(label, 0, 0);
        }
    }

    /// Takes the progress away.
    pub fn end_progress(&self) {
        let mut progress = lock(&self.0.progress);
        if let Some(bar) = progress.bar.take() {
            bar.finish_and_clear();
        }
        progress.milestones = Milestones::default();
    }

    fn above_progress<R>(&self, write: impl FnOnce() -> R) -> R {
        let bar = lock(&self.0.progress).bar.clone();
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

// === impl Milestones ===

impl Milestones {
    fn line(&mut self, label: &str, done: u64, total: u64) -> Option<String> {
        let quarter = (done.min(total) * 4).checked_div(total).unwrap_or(0);
        let is_new = self.label != label;
        if !is_new && quarter <= self.quarter {
            return None;
        }
        self.label = label.to_owned();
        self.quarter = quarter;
        Some(match total {
            0 => label.to_owned(),
            _ => format!("{label}: {}% of {}", quarter * 25, bytes(total)),
        })
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn style(total: u64) -> ProgressStyle {
    let template = match total {
        0 => "{spinner} {msg} ({elapsed})",
        _ => "{spinner} {msg} {bar:20} {bytes}/{total_bytes}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A reader that has gone has heard enough: that is no failure to speak of.
fn cannot_write(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::new(Exit::Ok, ""),
        _ => Failure::new(Exit::FileSystem, format!("cannot write to standard output: {error}")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_each_quarter_is_a_line() {
        let mut milestones = Milestones::default();
        let mut lines = Vec::new();
        for (label, done, total) in [
            ("pulling", 0, 0),
            ("pulling", 0, 0),
            ("pulling", 1, 4096),
            ("pulling", 1100, 4096),
            ("pulling", 1200, 4096),
            ("pulling", 4096, 4096),
            ("starting", 0, 0),
        ] {
            lines.extend(milestones.line(label, done, total));
        }
        let expected = ["pulling", "pulling: 25% of 4K", "pulling: 100% of 4K", "starting"];
        assert_eq!(lines, expected);
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_ends_the_command_quietly() {
        let out = Out::plain(Format::Text, Box::new(Closed), Box::new(io::sink()));
        let failure = out.data("x").unwrap_err();
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Ok, ""));
    }
}
