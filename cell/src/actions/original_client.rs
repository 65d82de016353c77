//! Leaves out of a tree what the original client puts there for the original platform's sake: the
//! download of its helper programs and the SSH daemon. Health checks are built in here, and SSH
//! is not the app's business.

use lattice_model::Action;
use lattice_model::action::{EmitProgress, Group, Timeout, Wrapped};

/// Where the original platform keeps its helpers.
const FILE_SERVERS: [&str; 2] =
    ["http://file-server.service.cf.internal:", "http://file_server.service.dc1.consul:"];
const SSH_DAEMON: &str = "diego-sshd";

/// The tree without them; `None` when nothing is left.
pub fn without(action: Action) -> Option<Action> {
    match action {
        Action::Run(run) => (!is_ssh_daemon(&run.path)).then_some(Action::Run(run)),
        Action::Download(download) => {
            let is_helper = FILE_SERVERS.iter().any(|server| download.from.starts_with(server));
            (!is_helper).then_some(Action::Download(download))
        }
        Action::Upload(upload) => Some(Action::Upload(upload)),
        Action::Timeout(timeout) => {
            let action = inner(timeout.action)?;
            Some(Action::Timeout(Timeout { action: Some(action), ..timeout }))
        }
        Action::Try(wrapped) => {
            let action = inner(wrapped.action)?;
            Some(Action::Try(Wrapped { action: Some(action), ..wrapped }))
        }
        Action::EmitProgress(emit) => {
            let action = inner(emit.action)?;
            Some(Action::EmitProgress(EmitProgress { action: Some(action), ..emit }))
        }
        Action::Parallel(group) => members(group).map(Action::Parallel),
        Action::Serial(group) => members(group).map(Action::Serial),
        Action::Codependent(group) => members(group).map(Action::Codependent),
    }
}

fn is_ssh_daemon(path: &str) -> bool {
    path.starts_with("/tmp/") && path.rsplit('/').next() == Some(SSH_DAEMON)
}

fn inner(action: Option<Box<Action>>) -> Option<Box<Action>> {
    without(*action?).map(Box::new)
}

fn members(group: Group) -> Option<Group> {
    let actions: Vec<Option<Action>> =
        group.actions.into_iter().flatten().filter_map(without).map(Some).collect();
    (!actions.is_empty()).then_some(Group { actions, ..group })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: serde_json::Value, expected: Option<serde_json::Value>) {
        let action: Action = serde_json::from_value(given).unwrap();
        let expected = expected.map(|json| serde_json::from_value::<Action>(json).unwrap());
        assert_eq!(without(action), expected);
    }

    #[test]
    fn an_original_clients_lrp_is_left_with_the_app_alone() {
        let app = serde_json::json!({"run": {"path": "/app", "user": "vcap"}});
        let sshd = serde_json::json!({"run": {
            "path": "/tmp/diego-sshd", "args": ["-address=0.0.0.0:2222"], "user": "vcap"
        }});
        let helpers = serde_json::json!({"download": {
            "from": "http://file-server.service.cf.internal:8080/v1/static/healthcheck.tgz",
            "to": "/tmp", "user": "vcap"
        }});
        let bits = serde_json::json!({"download": {
            "from": "http://example.com/bits.tgz", "to": "/tmp", "user": "vcap"
        }});
        check(
            serde_json::json!({"parallel": {"actions": [app, sshd]}}),
            Some(serde_json::json!({"parallel": {"actions": [app]}})),
        );
        check(serde_json::json!({"serial": {"actions": [helpers, helpers]}}), None);
        check(
            serde_json::json!({"serial": {"actions": [helpers, bits]}}),
            Some(serde_json::json!({"serial": {"actions": [bits]}})),
        );
        check(serde_json::json!({"timeout": {"action": helpers, "timeout": 5}}), None);
        check(serde_json::json!({"try": {"action": sshd}}), None);
    }

    #[test]
    fn an_app_of_ones_own_that_looks_alike_stays() {
        for path in ["/usr/bin/diego-sshd", "/tmp/my-diego-sshd", "/tmp/sshd"] {
            let run = serde_json::json!({"run": {"path": path, "user": "u"}});
            check(run.clone(), Some(run));
        }
    }
}
