//! Commands from end to end, over a platform that is a small stateful program.

mod apps;
mod fakes;
mod logs;
mod moves;
mod targets;
mod tasks;
