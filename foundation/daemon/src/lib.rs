//! A server's manners: configuration, tracing, named tasks and shutdown, credentials, the gate in
//! front of every API; and the carriers between servers, each a trait with an embedded side.

pub mod bus;
pub mod clock;
pub mod credentials;
pub mod gate;
pub mod log_ingress;
pub mod queue;
pub mod tasks;
pub mod telemetry;

/// Makes ring the process's TLS provider. Every `main` and every test binary calls it first.
pub fn install_crypto() {
    // An error means that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
