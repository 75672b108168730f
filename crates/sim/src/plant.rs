//! Bugs that can be planted, one at a time, to see that the judges find them. Nothing plants one but `planted` and tests:
//! they are in the model's half, or change what goes into the core and what comes out of it.

use crate::aim::strike::Strike;
use crate::mix::Mix;
use crate::setting::Setting;

pub mod spoil;

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

            /// Why it is not sought.
            pub const fn is_excused(self) -> Option<&'static str> {
                match self {
                    Self::StaleGoesOn => Some(
                        "harmless: an intent is called under only while a leader offers it, and nothing newer begins before \
                         its agent has told the outcome or has been silent for longer than a permission lasts",
                    ),
                    Self::FloorToldEarly => Some(
                        "not found: whoever forgot a floor takes its acknowledgement back with its first word; a region would have \
                         to be proven closed, and be promised something again, in the second between",
                    ),
                    _ => None,
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

/// Those that must be found.
pub fn sought() -> impl Iterator<Item = Bug> {
    BUGS.iter().copied().filter(|bug| bug.is_excused().is_none())
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
    /// People stop runs all the time.
    Paused,
    /// Agents stand still while the region is lost.
    Stood,
    /// The active region is lost, and the next one, within a cool-down.
    LostTwice,
    /// Agents lose their leader and keep their right for a while.
    Leases,
    Flaps,
    Isolated,
    /// Minorities of five coordinators.
    Few,
    /// All coordinators lose their power while disks are slow.
    Power,
    /// Some observers lose their way to the primary, and others, who do not, are late to find a new leader.
    HeardLate,
    /// Leaders are cut off between a commit and its announcement.
    Heir,
    /// Calls are late, and people change their mind.
    Late,
}

bugs! {
    /// The old region counts as closed at once.
    NoLeaseWait: "OneWriter", WithTheJudges, Leases;
    /// An agent counts its lease from the answer, not from its question.
    LeaseFromReply: "OneWriter", WithTheJudges, Leases;
    /// A lease outlives the restart of its agent's process.
    LeaseSurvivesRestart: "OneWriter", WithTheJudges, Leases;
    /// A promise is given and not written down.
    PromiseNotPersisted: "OneWriter", WithTheJudges, Leases;
    /// A floor is acknowledged before it is on disk.
    FloorToldEarly: "OneWriter", WithTheJudges, Leases;
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
    NoSelfDoubt: "SelfDoubt", WithTheJudges, Stood;
    /// What failed while an observer was cut off counts once the first region answers it again.
    IsolationCounts: "SelfDoubt", WithTheJudges, Isolated;
    /// A new leader does not wait for observers that it has not heard.
    NoSettling: "ObserverQuorum", WithTheJudges, HeardLate;
    /// Probes keep to the same tenth of their turns, and step with whatever flaps at their own beat.
    InStep: "ObserverQuorum", WithTheJudges, Flaps;
    /// The provider carries out statements however late they come.
    CallsNeverExpire: "FencedGeneration", WithTheJudges, Late;
    /// The provider takes a batch though what it deletes is there no more.
    LaxDelete: "FencedGeneration", WithTheJudges, Published;
    /// Records are deleted by one batch and created by the next.
    BatchInTwo: "NeverEmpty", WithTheJudges, Published;
    /// Each attempt at an effect has a key of its own.
    KeyOfIntent: "OneEffectPerKey", WithTheJudges, Published;
    /// A notice that may have been sent is sent again however old it is.
    DoubtIsYoung: "OneEffectPerKey", AfterTheFreeze, Aimed;
    /// A change counts as done before all name servers have it.
    PendingIsDone: "DoneMeansReadBack", WithTheJudges, Published;
    /// A pause is answered before anybody has stopped.
    PauseAnsweredAtOnce: "HumanWins", WithTheJudges, Paused;
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
    CoolDownInMemory: "NoFlap", WithTheJudges, LostTwice;
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
    /// Whoever verifies an audit does not ask for the head that was exported.
    TruncationUnseen: "AuditChain", AfterTheFreeze, People;
    /// Whoever verifies an audit trusts what a record says of itself.
    EditUnseen: "AuditChain", AfterTheFreeze, People;
    /// Dependencies among services are ignored.
    NoOrder: "BlastCap", AfterTheFreeze, Many;
    /// A run begins while another of the same service has not ended.
    TwoAtOnce: "BlastCap", AfterTheFreeze, Paused;
    /// Any loss is accepted, whatever the policy says.
    LossAccepted: "RpoGate", AfterTheFreeze, Loss;
    /// Of the lags that were measured, the smallest counts.
    BestLagCounts: "RpoGate", AfterTheFreeze, Loss;
    /// Approvals never expire.
    ExpiredCounts: "TwoPerson", AfterTheFreeze, Approved;
    /// Two keys of one person count as two people.
    OneOwnerTwoKeys: "TwoPerson", AfterTheFreeze, Approved;
    /// An approval of one plan counts for every plan.
    AnyPlanApproved: "TwoPerson", AfterTheFreeze, Approved;
    /// Answers to pings do not say what is paused.
    PauseUntold: "HumanWins", AfterTheFreeze, Paused;
    /// A follower says that it has an entry before it is on its disk.
    AckBeforeFsync: "DurableAck", AfterTheFreeze, Power;
    /// Whoever has the shorter log may lead.
    ShorterLogWins: "DurableAck", AfterTheFreeze, Aimed;
    /// After a restart the last entry is applied again.
    AppliedTwice: "ReplicaAgreement", AfterTheFreeze, Aimed;
    /// A new leader answers before it has committed anything of its own.
    NewLeaderKnows: "Linearizable", AfterTheFreeze, Heir;
    /// A promotion that has begun counts as one that is done.
    PromotingIsDone: "DoneMeansReadBack", AfterTheFreeze, Lost;
    /// A call that was accepted counts as done, and nothing is read back.
    AcceptedIsDone: "DoneMeansReadBack", AfterTheFreeze, Published;
    /// A doubtful outcome is told as done.
    UnknownIsDone: "DoneMeansReadBack", AfterTheFreeze, Aimed;
    /// An executor forgets that an earlier call of the same intent may have been applied.
    ForgetsDoubt: "UnknownIsNotFailed", AfterTheFreeze, Aimed;
    /// An abort takes calls that are out for ones that came to nothing.
    AbortsBlindly: "UnknownIsNotFailed", AfterTheFreeze, Paused;
    /// An agent acts on the server of another region.
    WrongServer: "LeastPrivilege", AfterTheFreeze, Lost;
    /// An intent is offered to whatever agent is at hand.
    OffersToAnyone: "IntentBeforeEffect", AfterTheFreeze, Lost;
    /// The sets that are to be published are lost on the way.
    EmptyAnswers: "NeverEmpty", AfterTheFreeze, Published;
    /// Nobody asks for a lease before a promotion.
    RightUnasked: "OneWriter", AfterTheFreeze, Aimed;
    /// Time in which a machine was suspended does not count for its leases.
    SuspendUnseen: "OneWriter", AfterTheFreeze, Aimed;
    /// A new leader does not wait for the leases of the one before.
    ElectedForgets: "OneWriter", AfterTheFreeze, Leases;
    /// Nobody notices that a process stood still.
    SlipUnseen: "SelfDoubt", AfterTheFreeze, Stood;
    /// Whatever a person does ends the cool-down.
    AnyDeedAcknowledges: "NoFlap", AfterTheFreeze, LostTwice;
    /// The region is watched for five times as long as the policy says.
    SustainedLonger: "FailoverDeadline", AfterTheFreeze, Finale;
    /// The active region counts as failing for long until it was asked.
    FailsAtFirst: "ColdStart", AfterTheFreeze, Cold;
    /// A name without a token is taken over.
    TokenForgotten: "RepairsAny", AfterTheFreeze, Meddled;
    /// What a follower missed is not sent again.
    NoResend: "Converges", AfterTheFreeze, Aimed;
    /// An outcome is told once.
    OutcomeToldOnce: "Converges", AfterTheFreeze, Aimed;
    /// Any one other coordinator is a quorum.
    FewAnswer: "FailStatic", AfterTheFreeze, Few;
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
            Bias::Paused => {
                (mix.people, mix.aims, mix.traffic) = (Some(8 * crate::SECOND), 500, true);
            }
            Bias::Stood => {
                lost(mix);
                mix.stood = true;
            }
            Bias::LostTwice => {
                lost(mix);
                (mix.people, mix.again) = (often, true);
                set.cool_down_s = 600;
            }
            Bias::Few => {
                (set.regions, set.workloads) = (5, 2);
                lost(mix);
                (mix.people, mix.traffic, mix.aims, mix.strike) = (often, true, 400, Some(Strike::Few));
            }
            Bias::HeardLate => {
                (set.regions, set.workloads, mix.heard_late) = (5, 2, true);
                (set.interval_s, set.fail_after, set.sustained_s, set.rpo_s) = (1, 1, 3, None);
            }
            Bias::Power => {
                lost(mix);
                (mix.people, mix.aims, mix.strike) = (often, 400, Some(Strike::Power));
                set.fsync = 400 * crate::MILLI;
            }
            Bias::Heir => {
                lost(mix);
                (mix.people, mix.strike) = (often, Some(Strike::Heir));
                set.fsync = 300 * crate::MILLI;
            }
            Bias::Late => {
                (mix.people, mix.late) = (Some(8 * crate::SECOND), true);
                (mix.asks_first, mix.behind) = (false, false);
                set.rpo_s = None;
            }
            Bias::Leases => {
                lost(mix);
                (mix.leases, mix.stood, mix.asks_first, mix.behind) = (true, false, false, false);
                (set.interval_s, set.fail_after, set.sustained_s, set.lease_s) = (1, 1, 3, 15);
                (set.rpo_s, set.promises) = (None, true);
                if self == Self::FloorToldEarly {
                    mix.forgets = true;
                    (set.margin, set.reaction_s) = (100 * crate::MILLI, 1);
                }
                if self == Self::LeaseFromReply {
                    // Less than the way of an answer takes.
                    (set.margin, set.reaction_s, set.promises) = (100 * crate::MILLI, 1, false);
                    set.far = 75 * crate::MILLI;
                }
            }
            Bias::Flaps => {
                mix.flaps = true;
                (set.interval_s, set.fail_after, set.pass_after, set.sustained_s) = (2, 1, 1, 3);
                set.rpo_s = None;
            }
            Bias::Isolated => {
                mix.isolated = true;
                mix.blind = true;
                (set.interval_s, set.fail_after, set.sustained_s, set.rpo_s) = (5, 1, 15, None);
            }
            Bias::Cold => {
                mix.cold = true;
                if self == Self::FailsAtFirst {
                    // One region has been asked for a while before the other is.
                    (set.interval_s, set.fail_after, set.pass_after, set.sustained_s) = (10, 1, 1, 3);
                    set.rpo_s = None;
                }
            }
            Bias::Finale => mix.finale = true,
            Bias::Meddled => {
                (mix.traffic, mix.people, mix.meddled) = (true, often, true);
            }
        }
    }
}
