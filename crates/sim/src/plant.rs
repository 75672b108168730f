//! Bugs that can be planted, one at a time, to see that the judges find them. Nothing plants one but `planted` and tests:
//! they are in the model's half, or change what goes into the core and what comes out of it.

use crate::mix::Mix;
use crate::setting::Setting;

mod spoil;

/// When it was written: against judges that were still being made, or against judges that were not touched any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    WithTheJudges,
    AfterTheFreeze,
}

macro_rules! bugs {
    ($($(#[doc = $what:literal])+ $name:ident: $rule:literal, $when:ident, $bias:ident;)+) => {
        /// What is wrong, and in which rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $($(#[doc = $what])+ $name,)+
        }

        pub const BUGS: &[Bug] = &[$(Bug::$name),+];

        impl Bug {
            /// The invariant that it breaks first.
            pub const fn rule(self) -> &'static str {
                match self {
                    $(Self::$name => $rule,)+
                }
            }

            pub const fn written(self) -> Written {
                match self {
                    $(Self::$name => Written::$when,)+
                }
            }

            /// Where it can show at all.
            const fn bias(self) -> Bias {
                match self {
                    $(Self::$name => Bias::$bias,)+
                }
            }
        }
    };
}

/// What every seed that looks for a bug has.
#[derive(Clone, Copy, Debug)]
enum Bias {
    /// Nothing beside what was drawn.
    Any,
    /// The active region is lost.
    Lost,
    /// Faults meet the moments that matter.
    Aimed,
    /// People.
    People,
    /// Names and notices are published, and people move services.
    Published,
    /// Many services lose their region.
    Many,
    /// A loss that counts.
    Loss,
    /// People whose approval is needed.
    Approved,
    Cold,
    Finale,
    /// Somebody else edits.
    Meddled,
}

bugs! {
    /// The old region counts as closed at once.
    NoLeaseWait: "OneWriter", WithTheJudges, Lost;
    /// An agent counts its lease from the answer, not from its question.
    LeaseFromReply: "OneWriter", WithTheJudges, Aimed;
    /// A lease outlives the restart of its agent's process.
    LeaseSurvivesRestart: "OneWriter", WithTheJudges, Aimed;
    /// A promise is given and not written down.
    PromiseNotPersisted: "OneWriter", WithTheJudges, Aimed;
    /// A floor is acknowledged before it is on disk.
    FloorToldEarly: "OneWriter", WithTheJudges, Aimed;
    /// The leader answers without a quorum.
    LeaseRead: "Linearizable", WithTheJudges, Aimed;
    /// An entry counts as committed once one node has it.
    CommitByOne: "DurableAck", WithTheJudges, Aimed;
    /// Calls start without permission.
    CallWithoutPermission: "OneWriter", WithTheJudges, Aimed;
    /// A job of an older generation goes on.
    StaleGoesOn: "FencedGeneration", WithTheJudges, Aimed;
    /// The call leaves before the journal has it.
    CallBeforeJournal: "IntentBeforeEffect", WithTheJudges, Lost;
    /// A doubtful outcome is told as a refusal.
    UnknownIsFailed: "UnknownIsNotFailed", WithTheJudges, Aimed;
    /// `sustained` is not waited for.
    NotSustained: "ObserverQuorum", WithTheJudges, Any;
    /// Agents of one region count as those of many.
    OneRegionIsEnough: "ObserverQuorum", WithTheJudges, Any;
    /// What observers say of themselves is ignored.
    NoSelfDoubt: "SelfDoubt", WithTheJudges, Lost;
    /// What failed while an observer was cut off counts once the first region answers it again.
    IsolationCounts: "SelfDoubt", WithTheJudges, Any;
    /// A new leader does not wait for observers that it has not heard.
    NoSettling: "ObserverQuorum", WithTheJudges, Lost;
    /// Probes keep to the same tenth of their turns, and step with whatever flaps at their own beat.
    InStep: "ObserverQuorum", WithTheJudges, Any;
    /// The provider carries out statements however late they come.
    CallsNeverExpire: "FencedGeneration", WithTheJudges, Aimed;
    /// The provider takes a batch though what it deletes is there no more.
    LaxDelete: "FencedGeneration", WithTheJudges, Published;
    /// Records are deleted by one batch and created by the next.
    BatchInTwo: "NeverEmpty", WithTheJudges, Published;
    /// Each attempt at an effect has a key of its own.
    KeyOfIntent: "OneEffectPerKey", WithTheJudges, Published;
    /// A change counts as done before all name servers have it.
    PendingIsDone: "DoneMeansReadBack", WithTheJudges, Published;
    /// A pause is answered before anybody has stopped.
    PauseAnsweredAtOnce: "HumanWins", WithTheJudges, People;
    /// Approvals are taken without a look at their signatures.
    SignaturesUnchecked: "TwoPerson", WithTheJudges, Approved;
    /// A coordinator that does not lead answers what it has as if it were the newest.
    FollowerReads: "Linearizable", WithTheJudges, People;
    /// A stale answer does not say that it is one.
    StaleReadSaysNothing: "Linearizable", WithTheJudges, People;
    /// A person is answered once the entry is proposed.
    AnsweredBeforeCommit: "Linearizable", WithTheJudges, People;
    /// Whoever has a certificate may call anything.
    NobodyAsksForRoles: "LeastPrivilege", WithTheJudges, People;
    /// Permission to call lasts for a minute after the leader was heard.
    PermitTooLong: "FailStatic", WithTheJudges, Aimed;
    /// The cool-down is forgotten with the leader that began it.
    CoolDownInMemory: "NoFlap", WithTheJudges, Lost;
    /// However many services move, the next begins.
    NoWaves: "BlastCap", WithTheJudges, Many;
    /// Measurements of a lag say zero.
    LagIsZero: "RpoGate", WithTheJudges, Loss;
    /// Commands that were refused leave no record.
    RefusedUnaudited: "AuditChain", WithTheJudges, People;
    /// A replica applies an entry at its own time.
    OwnClock: "ReplicaAgreement", WithTheJudges, Any;
    /// The leader looks at what it was told once a minute.
    SlowLook: "FailoverDeadline", WithTheJudges, Finale;
    /// An agent that is sent away asks the next one at once.
    NoRest: "ColdStart", WithTheJudges, Cold;
    /// What cannot be done as things stand is tried again and again.
    BlockedIsRetried: "RepairsAny", WithTheJudges, Meddled;
    /// Intents of agents that are gone stay open.
    LostIntentsKept: "Converges", WithTheJudges, Aimed;
}

impl Bug {
    /// Makes a seed one in which it can show.
    pub fn bend(self, set: &mut Setting) {
        let (region, mix) = (set.regions, &mut set.mix);
        let often = Some(25 * crate::SECOND);
        let lost = |mix: &mut Mix| mix.lost = true;
        let aimed = |mix: &mut Mix| mix.aims = 400;
        match self.bias() {
            Bias::Any => {}
            Bias::Lost => lost(mix),
            Bias::Aimed => {
                lost(mix);
                aimed(mix);
                mix.people = often;
            }
            Bias::People => mix.people = often,
            Bias::Published => {
                (mix.traffic, mix.people) = (true, often);
                aimed(mix);
            }
            Bias::Many => {
                lost(mix);
                mix.lights = 6;
            }
            Bias::Loss => {
                lost(mix);
                mix.behind = true;
                set.rpo_s = Some(20);
            }
            Bias::Approved => {
                lost(mix);
                (mix.people, mix.asks_first, mix.ruled) = (Some(8 * crate::SECOND), region == 3, true);
            }
            Bias::Cold => mix.cold = true,
            Bias::Finale => mix.finale = true,
            Bias::Meddled => {
                (mix.traffic, mix.people, mix.meddled) = (true, often, true);
            }
        }
    }
}
