//! Carries requests. To come.
