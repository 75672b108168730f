//! Random histories of links, observers and messages, judged every second. An oracle that looks at what was really
//! answered, and shares nothing with the detector, says when `down` is false.

use super::*;

/// Seconds of noise, and of the outage that follows.
const NOISE: u64 = 240;
const OUTAGE: u64 = 200;
const SEEDS: u64 = 60;
const OBSERVERS: [&str; 6] = ["e1", "e2", "w1", "w2", "x1", "x2"];
const SUSTAINED: u64 = 30;
/// A message that is on its way makes what it says look younger by as much.
const DELAY_MAX: u64 = 3;
const FRESH: u64 = 4;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// One observer: its link, its little hysteresis, and what the leader has of it.
struct Watcher {
    id: &'static str,
    link_up: bool,
    toggles_every: u64,
    loses_one_in: u64,
    silent_until: u64,
    doubts: bool,
    /// Every answer: second and whether it passed.
    answers: Vec<(u64, bool)>,
    failing: bool,
    alternations: Vec<u64>,
    /// On their way: arrival, age when sent, duration of the row when sent, failing, alternations.
    mail: Vec<(u64, u64, Option<u64>, bool, u32)>,
    sight: Option<Sight>,
    heard_at: Option<u64>,
}

impl Watcher {
    fn new(id: &'static str, rng: &mut Rng) -> Self {
        let toggles_every = [5, 10, 20, 43, 90, 1_000_000][usize::try_from(rng.below(6)).expect("small")];
        Self {
            id,
            link_up: true,
            toggles_every,
            loses_one_in: [2, 3, 10, 1_000_000][usize::try_from(rng.below(4)).expect("small")],
            silent_until: 0,
            doubts: false,
            answers: Vec::new(),
            failing: false,
            alternations: Vec::new(),
            mail: Vec::new(),
            sight: None,
            heard_at: None,
        }
    }

    fn heal(&mut self) {
        (self.link_up, self.toggles_every, self.loses_one_in) = (true, 1_000_000, 1_000_000);
        (self.silent_until, self.doubts) = (0, false);
    }

    /// Seconds since the row of failures began, if the last answer was one.
    fn row(&self) -> Option<u64> {
        let row = self.answers.iter().rev().take_while(|(_, passed)| !passed).map(|(second, _)| *second);
        row.last()
    }

    fn answer(&mut self, second: u64, target_up: bool, rng: &mut Rng) {
        if rng.one_in(self.toggles_every) {
            self.link_up = !self.link_up;
        }
        let passed = target_up && self.link_up && !rng.one_in(self.loses_one_in);
        let begins = !passed && self.answers.last().is_none_or(|(_, passed)| *passed);
        self.answers.push((second, passed));
        let last = |count: usize, wanted: bool| {
            self.answers.len() >= count && self.answers.iter().rev().take(count).all(|(_, passed)| *passed == wanted)
        };
        let (fails, passes) = (last(3, false), last(2, true));
        if (fails && !self.failing) || (begins && self.failing) {
            self.alternations.push(second);
        }
        self.failing = fails || (self.failing && !passes);
        self.alternations.retain(|at| second - at < 240);
    }

    fn send(&mut self, second: u64, rng: &mut Rng) {
        let Some((answered, _)) = self.answers.last() else { return };
        let arrives = second + rng.below(DELAY_MAX + 1);
        let failing_for = self.row().map(|since| second - since);
        let alternations = u32::try_from(self.alternations.len()).expect("few");
        self.mail.push((arrives, second - answered, failing_for, self.failing, alternations));
        // Sent again, and overtaken.
        if rng.one_in(10) {
            self.mail.extend(self.mail.last().copied());
        }
    }

    fn deliver(&mut self, second: u64) {
        let arrived: Vec<_> = self.mail.iter().copied().filter(|mail| mail.0 == second).collect();
        self.mail.retain(|mail| mail.0 > second);
        for (_, age, failing_for, failing, alternations) in arrived {
            let since = fixtures::at(7);
            let reading = if failing {
                Reading::Failing { reason: "refused".to_owned(), since }
            } else {
                Reading::Passing { latency: Duration::ZERO }
            };
            self.heard_at = Some(second);
            self.sight = Some(Sight {
                signal: Arc::new(Signal {
                    observer: fixtures::agent(self.id),
                    observer_region: fixtures::region(place(self.id)),
                    service: fixtures::service("maip"),
                    region: fixtures::region(EAST),
                    subject: "api".to_owned(),
                    reading,
                    at: Timestamp::default(),
                }),
                observed_at: fixtures::at(second - age),
                failing_since: failing_for.filter(|_| failing).map(|failing_for| fixtures::at(second - failing_for)),
                heard_at: fixtures::at(second),
                alternations,
            });
        }
    }

    /// Has it really failed for all of the time, up to a moment ago?
    fn really_fails(&self, second: u64) -> bool {
        let heard_of = |(at, _): &&(u64, bool)| second <= at + DELAY_MAX + FRESH;
        (0..=DELAY_MAX + FRESH).any(|back| {
            let known = self.answers.iter().rev().filter(|(at, _)| at + back <= second);
            let last = known.clone().next().filter(heard_of);
            let first = known.take_while(|(_, passed)| !passed).last();
            matches!((first, last), (Some((first, _)), Some((last, _))) if last - first >= SUSTAINED)
        })
    }
}

struct World {
    rng: Rng,
    watchers: Vec<Watcher>,
    service: Service,
    /// As the detector is told; the oracle knows better.
    region_of: fn(&str) -> &'static str,
}

/// When it was said to be down and was not; and whether it was down at the end.
struct Course {
    wrong: Vec<u64>,
    found: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let watchers = OBSERVERS.iter().map(|id| Watcher::new(id, &mut rng)).collect();
        Self { rng, watchers, service: Scene::new().service, region_of: place }
    }

    fn run(mut self) -> Course {
        let mut course = Course { wrong: Vec::new(), found: false };
        for second in 20..NOISE + OUTAGE {
            if second == NOISE {
                self.watchers.iter_mut().for_each(Watcher::heal);
            }
            self.step(second, second < NOISE);
            let down = self.is_down(second);
            if down && !self.is_really_down(second) {
                course.wrong.push(second);
            }
            course.found = down;
        }
        course
    }

    fn step(&mut self, second: u64, noise: bool) {
        for watcher in &mut self.watchers {
            // Its region is lost with it.
            if !noise && place(watcher.id) == EAST {
                watcher.deliver(second);
                continue;
            }
            if noise && self.rng.one_in(60) {
                watcher.silent_until = second + self.rng.below(40);
            }
            if noise && self.rng.one_in(50) {
                watcher.doubts = !watcher.doubts;
            }
            watcher.answer(second, noise, &mut self.rng);
            if second >= watcher.silent_until {
                watcher.send(second, &mut self.rng);
            }
            watcher.deliver(second);
        }
    }

    fn is_down(&self, second: u64) -> bool {
        let observers = self.watchers.iter().map(|watcher| {
            let observer = Observer {
                region: fixtures::region((self.region_of)(watcher.id)),
                heard_at: watcher.heard_at.map(fixtures::at),
                doubt: watcher.doubts.then_some(Doubt::TimersSlip),
            };
            (fixtures::agent(watcher.id), observer)
        });
        let sights = self.watchers.iter().filter_map(|watcher| watcher.sight.clone()).collect::<Vec<_>>();
        let evidence =
            Evidence::new(fixtures::at(second), fixtures::at(0), observers.collect::<BTreeMap<_, _>>(), sights);
        assess(&self.service, &evidence)[&fixtures::region(EAST)].verdict == Verdict::Down
    }

    /// Two regions, and more than see it well, have had nothing but failures for the whole time.
    fn is_really_down(&self, second: u64) -> bool {
        let votes = || self.watchers.iter().filter(|watcher| place(watcher.id) != EAST && !watcher.doubts);
        let failing: Vec<&Watcher> = votes().filter(|watcher| watcher.really_fails(second)).collect();
        let voices = votes().filter(|watcher| watcher.heard_at.is_some_and(|heard| heard + 6 >= second)).filter(|it| {
            it.sight
                .as_ref()
                .is_some_and(|sight| sight.observed_at.plus(Duration::from_secs(FRESH)) >= fixtures::at(second))
        });
        let voices = voices.count();
        let regions: std::collections::BTreeSet<&str> = failing.iter().map(|watcher| place(watcher.id)).collect();
        regions.len() >= 2 && failing.len() * 2 > voices
    }
}

#[test]
fn random_histories_give_no_down_without_a_quorum_for_the_whole_time() {
    for seed in 0..SEEDS {
        let course = World::new(seed).run();
        assert!(course.wrong.is_empty(), "seed {seed}: down at {:?}", course.wrong);
    }
}

#[test]
fn noise_hides_no_outage_for_ever() {
    for seed in 0..SEEDS {
        assert!(World::new(seed).run().found, "seed {seed}: {OUTAGE} s of outage after {NOISE} s of noise");
    }
}

#[test]
fn the_oracle_catches_a_detector_that_does_not_wait() {
    let caught = (0..SEEDS).any(|seed| {
        let mut world = World::new(seed);
        world.service.manifest.policy.sustained = Duration::from_secs(SUSTAINED / 3);
        !world.run().wrong.is_empty()
    });
    assert!(caught);
}

#[test]
fn the_oracle_catches_a_detector_that_takes_every_observer_for_a_region() {
    let regions: fn(&str) -> &'static str = |observer| match observer {
        "e1" | "e2" => EAST,
        "w1" => WEST,
        "w2" => AP,
        _ => EU,
    };
    let caught = (0..SEEDS).any(|seed| {
        let mut world = World::new(seed);
        world.region_of = regions;
        // Only the west sees it fail.
        for watcher in world.watchers.iter_mut().filter(|watcher| place(watcher.id) == EU) {
            watcher.silent_until = u64::MAX;
        }
        for watcher in world.watchers.iter_mut().filter(|watcher| place(watcher.id) == WEST) {
            (watcher.toggles_every, watcher.loses_one_in, watcher.link_up) = (1_000_000, 1_000_000, false);
        }
        !world.run().wrong.is_empty()
    });
    assert!(caught);
}

/// A link that is up and down for so long each: half of the period.
fn flapping(half: u64, seed: u64) -> Vec<u64> {
    let mut world = World::new(seed);
    world.watchers.iter_mut().for_each(Watcher::heal);
    let mut down = Vec::new();
    for second in 20..600 {
        let up = (second / half).is_multiple_of(2);
        for watcher in &mut world.watchers {
            watcher.answer(second, up, &mut world.rng);
            // The region's own word does not help it.
            if place(watcher.id) != EAST {
                watcher.send(second, &mut world.rng);
            }
            watcher.deliver(second);
        }
        if world.is_down(second) {
            down.push(second);
        }
    }
    down
}

#[test]
fn flapping_that_never_lasts_for_the_whole_time_is_never_down() {
    for half in [1, 2, 5, 10, 21, 29] {
        for seed in 0..4 {
            assert!(flapping(half, seed).is_empty(), "{half} s up, {half} s down, seed {seed}");
        }
    }
}

#[test]
fn flapping_that_lasts_longer_is_down_once_at_most_before_it_is_known_to_flap() {
    // 43 s up, 43 s down: the first outage cannot be told from one that stays; the next must last twice as long.
    for seed in 0..4 {
        let down = flapping(43, seed);
        assert!(down.iter().all(|second| *second < 43 * 2 + DELAY_MAX), "seed {seed}: {down:?}");
    }
}
