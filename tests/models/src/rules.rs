//! The rules of design.md 6, each of which can be broken.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    Kept,
    /// The agent counts its lease from the answer, not from its own sending.
    LeaseFromTheAnswer,
    /// A leader answers a nonce from what it knows, without asking the others whether it still leads.
    AnsweredWithoutReadIndex,
    /// A new leader takes the leases that its predecessor answered for ended.
    NoWaitAfterElection,
    /// The leader's wait is over when the leases that it knows of have ended, whatever was promised.
    PromisesNotWaitedFor,
    /// A giver says that it never promised anything.
    PromisesDenied,
    /// A giver forgets its promise when it restarts.
    PromiseNotOnDisk,
    /// A giver promises at a generation below its floor.
    FloorNotChecked,
    /// One promise is a hold.
    OnePromiseIsEnough,
    /// Only the newest ask list is looked at when a region is closed.
    AskListNotVersioned,
    /// A giver takes a newer lease while its promise runs.
    TakesNewerWhilePromised,
    /// A call that lets a region write is sent whether or not the agent's right outlasts it.
    CallWithoutLease,
    /// The dead-man fence is given no time to close.
    NoTimeToReact,
    /// An agent keeps its right when it acknowledges that it has ended.
    RightKeptAfterAck,
}
