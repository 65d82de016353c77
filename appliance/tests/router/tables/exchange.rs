//! One client connection and one backend, for cases that are told otherwise than in rows.

use std::sync::{Arc, Mutex};

use super::backend::{Backend, Script, Seen};
use super::client::{Client, Over};
use super::player::Town;
use crate::process::eventually;

/// The connection, and what the backend sees.
pub(crate) struct Exchange {
    client: Client,
    seen: Seen,
}

impl Town {
    /// Goes through an exchange, while `web.test` is served by a backend that gives these answers.
    pub(crate) fn exchange<T>(
        &mut self,
        answers: &'static [&'static str],
        run: impl FnOnce(&mut Exchange) -> T,
    ) -> T {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let backend = Backend::new(Script::Answers(answers), 0, &seen);
        let route = format!(
            "{{\"host\":\"127.0.0.1\",\"port\":{},\"uris\":[\"web.test\"],\"app\":\"web\",\
             \"private_instance_id\":\"guid-0\",\"private_instance_index\":\"0\"}}",
            backend.port
        );
        self.publish(std::slice::from_ref(&route));
        let client = Client::new(self.doors(), Over::Plain, "");
        let given = run(&mut Exchange { client, seen });
        self.publish(&[format!("-{route}")]);
        given
    }
}

impl Exchange {
    pub(crate) fn send(&mut self, bytes: &str) {
        self.client.send(bytes);
    }

    /// The next message that the client gets; nothing if none comes.
    pub(crate) fn next(&mut self, is_to_head: bool) -> Option<String> {
        self.client.message(is_to_head)
    }

    /// All that the client gets until the connection ends.
    pub(crate) fn rest(&mut self) -> String {
        self.client.rest()
    }

    /// What the backend has seen, as soon as it is so many messages.
    pub(crate) fn seen(&self, many: usize) -> Vec<String> {
        let seen =
            || self.seen.lock().unwrap().iter().map(|(_, message)| message.clone()).collect();
        let mut all: Vec<String> = seen();
        eventually("the backend has seen it", || {
            all = seen();
            all.len() >= many
        });
        all
    }
}
