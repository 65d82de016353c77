//! Users and passwords from flags, files and people; never from argv.

use std::fs;
use std::path::PathBuf;

use crate::context::Local;
use crate::exit::{Exit, Failure};
use crate::target::Login;

const DEFAULT_USER: &str = "admin";

/// Flags that give a login without asking.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LoginFlags {
    /// The user; asked for without
    #[arg(long, value_name = "USER")]
    pub username: Option<String>,
    /// A file with the password, - for standard input; asked for without
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

impl LoginFlags {
    /// The login the flags give; asks for a password that is missing. `None` without flags.
    pub async fn given(&self, local: &Local) -> Result<Option<Login>, Failure> {
        let password = match &self.password_file {
            Some(path) => read_password(path.clone(), local).await?,
            None if self.username.is_none() => return Ok(None),
            None => return ask(local, self.username.clone()).await.map(Some),
        };
        if password.is_empty() {
            return Err(Failure::usage("the password file is empty"));
        }
        let username = self.username.clone().unwrap_or_else(|| DEFAULT_USER.to_owned());
        Ok(Some(Login { username, password }))
    }
}

/// Asks the person; for the password alone where the user is known.
pub async fn ask(local: &Local, username: Option<String>) -> Result<Login, Failure> {
    let terminal = local.terminal.clone();
    if !terminal.is_interactive() {
        let message = "a password is needed, and nobody can be asked";
        return Err(Failure::usage(message).next("add --password-file FILE (- is standard input)"));
    }
    let questions = move || {
        let username = match username {
            Some(username) => username,
            None => terminal.ask("user: ")?.trim().to_owned(),
        };
        let password = terminal.ask_secret("password: ")?;
        Ok(Login { username, password })
    };
    in_background(questions).await
}

async fn read_password(path: PathBuf, local: &Local) -> Result<String, Failure> {
    let text = if path.as_os_str() == "-" {
        let terminal = local.terminal.clone();
        in_background(move || terminal.read_all()).await?
    } else {
        fs::read_to_string(&path).map_err(|e| {
            Failure::new(Exit::FileSystem, format!("cannot read {}: {e}", path.display()))
        })?
    };
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A person thinks for a while; signals must still be heard.
pub(crate) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let answer = tokio::task::spawn_blocking(work).await;
    let failure = |cause: String| Failure::command(format!("cannot read an answer: {cause}"));
    answer.map_err(|e| failure(e.to_string()))?.map_err(|e| failure(e.to_string()))
}
