//! The commands, one file a verb: its arguments, and what it does.

pub mod cancel_task;
pub mod cells;
pub mod completion;
pub mod create;
pub mod debug_logs;
pub mod delete_task;
pub mod domain;
pub mod drain;
pub mod explain;
pub mod help;
pub mod images;
pub mod list;
pub mod logs;
pub mod rebalance;
pub mod registry;
pub mod remove;
pub mod scale;
pub mod status;
pub mod submit_lrp;
pub mod submit_task;
pub mod target;
pub mod task;
pub mod trust;
pub mod update;
pub mod version;
pub mod visualize;

use crate::args::Command;
use crate::context::Local;
use crate::exit::Outcome;

/// Runs a command; help where there is none.
pub async fn run(command: Option<Command>, local: &Local) -> Outcome {
    let command = command.unwrap_or(Command::Help(help::Args::default()));
    match command {
        Command::Help(args) => help::run(args, local),
        Command::Completion(args) => completion::run(args, local),
        Command::Target(args) => Box::pin(target::run(args, local)).await,
        Command::Registry(args) => Box::pin(registry::run(args, local)).await,
        Command::Trust(args) => Box::pin(trust::run(args, local)).await,
        Command::Version(args) => Box::pin(version::run(args, local)).await,
        Command::Create(args) => Box::pin(create::run(*args, &local.connect()?)).await,
        Command::Update(args) => Box::pin(update::run(args, &local.connect()?)).await,
        Command::Scale(args) => Box::pin(scale::run(args, &local.connect()?)).await,
        Command::Remove(args) => Box::pin(remove::run(args, &local.connect()?)).await,
        Command::List(args) => Box::pin(list::run(args, &local.connect()?)).await,
        Command::Status(args) => Box::pin(status::run(args, &local.connect()?)).await,
        Command::Cells(args) => Box::pin(cells::run(args, &local.connect()?)).await,
        Command::Domain(args) => Box::pin(domain::run(args, &local.connect()?)).await,
        Command::Images(args) => Box::pin(images::run(args, &local.connect()?)).await,
        Command::Drain(args) => Box::pin(drain::run(args, &local.connect()?)).await,
        Command::Undrain(args) => Box::pin(drain::undrain(args, &local.connect()?)).await,
        Command::Rebalance(args) => Box::pin(rebalance::run(args, &local.connect()?)).await,
        Command::Visualize(args) => Box::pin(visualize::run(args, &local.connect()?)).await,
        Command::Explain(args) => Box::pin(explain::run(args, &local.connect()?)).await,
        Command::Logs(args) => Box::pin(logs::run(args, &local.connect()?)).await,
        Command::DebugLogs(args) => Box::pin(debug_logs::run(args, &local.connect()?)).await,
        Command::Task(args) => Box::pin(task::run(args, &local.connect()?)).await,
        Command::CancelTask(args) => Box::pin(cancel_task::run(args, &local.connect()?)).await,
        Command::DeleteTask(args) => Box::pin(delete_task::run(args, &local.connect()?)).await,
        Command::SubmitLrp(args) => Box::pin(submit_lrp::run(args, &local.connect()?)).await,
        Command::SubmitTask(args) => Box::pin(submit_task::run(args, &local.connect()?)).await,
    }
}
