//! Deliberate faults of the brain or the cells, which show that a run can fail.

use lattice_brain::board::Effect;

/// What is done wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    Nothing,
    /// The brain answers before what it answers is durable.
    BrainAnswersBeforeCommit,
    /// The brain loses its orders to stop.
    BrainLosesStops,
    /// The brain loses what it wants auctioned, every time.
    BrainLosesAuctions,
    /// The auction takes cells for empty.
    AuctionOverbooks,
    /// Cells do not tell how things ended.
    CellForgetsToTell,
    /// Cells stop what the brain does not mention.
    CellTakesAbsenceForAnOrder,
    /// Cells run tasks that were not granted to them.
    CellRunsUngrantedTasks,
    /// Cells do not give back what was reserved.
    CellLeaksReservations,
}

impl Sabotage {
    /// All but nothing.
    pub const ALL: [Self; 8] = [
        Self::BrainAnswersBeforeCommit,
        Self::BrainLosesStops,
        Self::BrainLosesAuctions,
        Self::AuctionOverbooks,
        Self::CellForgetsToTell,
        Self::CellTakesAbsenceForAnOrder,
        Self::CellRunsUngrantedTasks,
        Self::CellLeaksReservations,
    ];

    pub(crate) const fn loses(self, effect: &Effect) -> bool {
        match effect {
            Effect::AuctionLrp { .. } => matches!(self, Self::BrainLosesAuctions),
            Effect::StopInstance { .. } => matches!(self, Self::BrainLosesStops),
            Effect::AuctionTask { .. } | Effect::CancelTask { .. } | Effect::NotifyOwner(_) => {
                false
            }
        }
    }
}
