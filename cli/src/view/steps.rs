//! The steps of instances on their way to running, and what to say at the end.

use lattice_model::actual_lrp::PlacementError;

use super::palette::Palette;
use crate::lrp::Note;
use crate::rollout::{Pull, Settled, Step};

/// How the steps of an LRP's instances are told.
#[derive(Debug, Clone, Copy)]
pub struct Telling {
    /// How many instances are wanted; the index is left out where it is only one.
    pub wanted: u32,
    /// What counts as running.
    pub settled: Settled,
}

impl Telling {
    /// One step as a line.
    pub fn line(&self, step: &Step, palette: Palette) -> String {
        let is_checked = self.settled == Settled::Healthy;
        let (index, text) = match step {
            Step::Placed { index, cell } => (index, format!("placed on {}", palette.cyan(cell))),
            Step::Creating { index } => (index, "creating the container".to_owned()),
            Step::Starting { index } if is_checked => {
                (index, "starting, waiting for the health check".to_owned())
            }
            Step::Starting { index } => (index, "starting".to_owned()),
            Step::Healthy { index } if is_checked => (index, palette.green("healthy")),
            Step::Healthy { index } => (index, palette.green("started")),
            Step::Crashed { index, count, reason } => {
                let times =
                    if *count == 1 { String::new() } else { format!(" ({count} in a row)") };
                let word = if is_success(reason) { "ended".into() } else { palette.red("crashed") };
                (index, format!("{word}{times}: {}", reason_or_unknown(reason)))
            }
        };
        if self.wanted == 1 && *index == 0 { text } else { format!("instance {index}: {text}") }
    }
}

/// What a progress bar of pulls is called.
pub fn pull_label(pull: &Pull) -> String {
    match pull.cells.as_slice() {
        [cell] => format!("pulling the image on {cell}"),
        cells => format!("pulling the image on {} cells", cells.len()),
    }
}

/// A note of the LRP's making.
pub fn note(note: &Note) -> String {
    match note {
        Note::RunsAsRoot => "the image names no user, so the app runs as root; --user NAME \
                             changes that"
            .to_owned(),
        Note::User(user) => format!("runs as user {user}, as the image says"),
        Note::Ports(ports) => format!("listens on {}, as the image says", join(ports)),
        Note::DefaultPort(port) => {
            format!("the image exposes no port: {port} is assumed; --ports N changes that")
        }
        Note::Command(command) => format!("runs `{command}`, as the image says"),
        Note::Privileged => {
            "a privileged app can break out of its container and take over the cell".to_owned()
        }
    }
}

/// True for notes that warn.
pub fn is_warning(note: &Note) -> bool {
    match note {
        Note::RunsAsRoot | Note::Privileged => true,
        Note::User(_) | Note::Ports(_) | Note::DefaultPort(_) | Note::Command(_) => false,
    }
}

/// A placement error with its amounts.
pub fn placement(error: &PlacementError) -> String {
    match (error.reason.as_str(), error.detail.as_str()) {
        (reason, "") => reason.to_owned(),
        (reason, detail) if detail.starts_with(reason) => detail.to_owned(),
        (reason, detail) => format!("{reason} ({detail})"),
    }
}

/// True when an instance ended as one does whose work is done.
pub fn is_success(reason: &str) -> bool {
    reason.ends_with("status 0")
}

/// A crash reason that is never empty.
pub fn reason_or_unknown(reason: &str) -> &str {
    if reason.is_empty() { "no reason was given" } else { reason }
}

fn join(ports: &[u16]) -> String {
    let word = if ports.len() == 1 { "port" } else { "ports" };
    format!("{word} {}", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(step: &Step, wanted: u32, settled: Settled) -> String {
        Telling { wanted, settled }.line(step, Palette::new(false))
    }

    #[test]
    fn a_single_instance_is_not_numbered() {
        let placed = |index| Step::Placed { index, cell: "cell-1".into() };
        assert_eq!(line(&placed(0), 1, Settled::Healthy), "placed on cell-1");
        assert_eq!(line(&placed(0), 2, Settled::Healthy), "instance 0: placed on cell-1");
        assert_eq!(line(&placed(4), 1, Settled::Healthy), "instance 4: placed on cell-1");
    }

    #[test]
    fn only_what_is_checked_is_called_healthy() {
        let (healthy, unchecked) = (Settled::Healthy, Settled::RanFor(Duration::from_secs(1)));
        for (step, settled, expected) in [
            (Step::Starting { index: 0 }, healthy, "starting, waiting for the health check"),
            (Step::Starting { index: 0 }, unchecked, "starting"),
            (Step::Healthy { index: 0 }, healthy, "healthy"),
            (Step::Healthy { index: 0 }, unchecked, "started"),
        ] {
            assert_eq!(line(&step, 1, settled), expected);
        }
    }

    #[test]
    fn a_crash_says_how_often_and_why() {
        let crash = |count, reason: &str| {
            let step = Step::Crashed { index: 0, count, reason: reason.into() };
            line(&step, 1, Settled::Healthy)
        };
        assert_eq!(crash(1, "Exited with status 1"), "crashed: Exited with status 1");
        assert_eq!(crash(1, "Exited with status 0"), "ended: Exited with status 0");
        assert_eq!(crash(3, ""), "crashed (3 in a row): no reason was given");
    }

    #[test]
    fn a_placement_error_has_its_amounts_once() {
        let text = |reason: &str, detail: &str| {
            placement(&PlacementError { reason: reason.into(), detail: detail.into() })
        };
        assert_eq!(text("insufficient resources", ""), "insufficient resources");
        assert_eq!(text("insufficient", "needs 4 MB"), "insufficient (needs 4 MB)");
        assert_eq!(text("insufficient", "insufficient: needs 4 MB"), "insufficient: needs 4 MB");
    }
}
