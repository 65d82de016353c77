//! Commands from end to end, over a platform that is a small stateful program.

mod apps;
mod domains;
mod fakes;
mod images;
mod logs;
mod moves;
mod placement;
mod targets;
mod tasks;
