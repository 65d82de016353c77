//! A cluster on a virtual clock: the real board, convergence and auction, and cells of the
//! simplest kind. Time is a number, dice have a seed, so every run can be had again.

mod cell;
mod dice;
mod world;

pub use cell::SimulatedCell;
pub use dice::Dice;
pub use world::World;
