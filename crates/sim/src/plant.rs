//! Bugs that can be planted, one at a time, to see that the judges find them. Nothing plants one but `planted` and tests.

/// What is wrong, and in which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// OneWriter: the old region counts as closed at once.
    NoLeaseWait,
    /// OneWriter: an agent counts its lease from the answer, not from its question.
    LeaseFromReply,
    /// OneWriter: a lease outlives the restart of its agent's process.
    LeaseSurvivesRestart,
    /// OneWriter: a promise is given and not written down.
    PromiseNotPersisted,
    /// DurableAck: a floor is acknowledged before it is on disk.
    FloorToldEarly,
    /// Linearizable: the leader answers without a quorum.
    LeaseRead,
    /// DurableAck: an entry counts as committed once one node has it.
    CommitByOne,
    /// HumanWins, IntentBeforeEffect: calls start without permission.
    CallWithoutPermission,
    /// FencedGeneration: a job of an older generation goes on.
    StaleGoesOn,
    /// IntentBeforeEffect: the call leaves before the journal has it.
    CallBeforeJournal,
    /// UnknownIsNotFailed: a doubtful outcome is told as a refusal.
    UnknownIsFailed,
    /// ObserverQuorum: `sustained` is not waited for.
    NotSustained,
    /// ObserverQuorum: agents of one region count as those of many.
    OneRegionIsEnough,
    /// SelfDoubt: what observers say of themselves is ignored.
    NoSelfDoubt,
    /// SelfDoubt: what failed while an observer was cut off counts once the first region answers it again.
    IsolationCounts,
    /// ObserverQuorum: a new leader does not wait for observers that it has not heard.
    NoSettling,
    /// ObserverQuorum: probes keep to the same tenth of their turns, and step with whatever flaps at their own beat.
    InStep,
    /// FencedGeneration: the provider carries out statements however late they come.
    CallsNeverExpire,
}

pub const BUGS: [Bug; 18] = [
    Bug::NoLeaseWait,
    Bug::LeaseFromReply,
    Bug::LeaseSurvivesRestart,
    Bug::PromiseNotPersisted,
    Bug::FloorToldEarly,
    Bug::LeaseRead,
    Bug::CommitByOne,
    Bug::CallWithoutPermission,
    Bug::StaleGoesOn,
    Bug::CallBeforeJournal,
    Bug::UnknownIsFailed,
    Bug::NotSustained,
    Bug::OneRegionIsEnough,
    Bug::NoSelfDoubt,
    Bug::IsolationCounts,
    Bug::NoSettling,
    Bug::InStep,
    Bug::CallsNeverExpire,
];
