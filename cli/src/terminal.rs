//! The person at this process's terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use crate::context::Terminal;

/// Standard input, and the terminal for secrets.
#[derive(Debug, Default, Clone, Copy)]
pub struct Console;

impl Terminal for Console {
    fn is_interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    fn ask(&self, question: &str) -> io::Result<String> {
        let mut stderr = io::stderr();
        write!(stderr, "{question}")?;
        stderr.flush()?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn ask_secret(&self, question: &str) -> io::Result<String> {
        rpassword::prompt_password(question)
    }

    fn read_all(&self) -> io::Result<String> {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text)?;
        Ok(text)
    }
}
