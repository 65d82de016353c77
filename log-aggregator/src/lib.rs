//! Carries logs and metrics. To come.
