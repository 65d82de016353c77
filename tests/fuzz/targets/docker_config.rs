//! Docker's configuration file, without the programs it may name: those would be run.
#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use lattice_cli::push::docker_config::DockerConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    if let Some(fields) = value.as_object_mut() {
        fields.remove("credsStore");
        fields.remove("credHelpers");
    }
    let Ok(config) = serde_json::from_value::<DockerConfig>(value) else { return };
    for host in ["docker.io", "registry.test:5000", ""] {
        let asked = pin!(config.credentials_for(host));
        let Poll::Ready(answer) = asked.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("no program was to be asked");
        };
        let found = answer.expect("no program was to be asked");
        assert!(found.is_none_or(|credentials| credentials.registry == host));
    }
});
