//! Defects that are planted in what stands around the programs, for the judges to find.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Planted {
    #[default]
    Nothing,
    /// The coordinators' disks say that they have synced, and have not.
    LyingDisks,
    /// So do the agents' disks: a power cut takes what the journal had.
    LyingJournals,
    /// An agent that lost its journal starts again under its name.
    LostJournals,
    /// A call is in the journal once it has ended, not before.
    JournalAfterCall,
    /// What had no answer is sent again at once, beneath the step engine.
    HiddenRetries,
    /// What had no answer is taken as refused.
    UnknownIsRefused,
    /// What was accepted is taken as done.
    AcceptedIsDone,
    /// A batch is made in two halves, the deletion first.
    BatchInTwo,
    /// Probes of the primary's region fail though it is well.
    FalseAlarms,
    /// The agents' clocks go at a third of their speed.
    SlowClocks,
}

impl Planted {
    /// As the command line has it.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
