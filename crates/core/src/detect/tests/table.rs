//! One rule a test, one case a row.

use super::*;

fn rows(rows: &[(&str, &str)]) {
    for (script, expected) in rows {
        assert_eq!(Scene::east(script).judged(EAST), *expected, "{script}");
    }
}

#[test]
fn without_fresh_data_nothing_is_down() {
    rows(&[
        ("", "unknown blind"),
        ("w1-90@5 w2-90@5 x1-90@5 x2-90@5", "unknown blind"),
        ("w1-90@3600 x1-90@3600", "unknown blind"),
        ("w1? w2? x1? x2?", "unknown blind"),
        ("w1-90z w2-90z x1-90z x2-90z", "unknown blind"),
        ("e1+ e2+", "unknown blind"),
        ("e1-90 e2-90", "suspect blind"),
        ("e1-90 w1-90@5 x1-90@5", "suspect blind"),
    ]);
}

#[test]
fn down_needs_a_majority_outside_in_two_regions_for_the_whole_time() {
    rows(&[
        ("w1-30 w2-30 x1-30 x2-30", "down outage"),
        ("w1-30 w2-30 x1-30 x2+", "down outage"),
        ("w1-30 w2-30 x1+ x2+", "suspect asymmetric"),
        ("w1-30 w2+ x1-30 x2+", "suspect asymmetric"),
        ("w1-30 w2-30 x1-29 x2+", "suspect asymmetric"),
        ("w1-30 w2-30 x1-29 x2-29", "suspect outage"),
        // Target and witness.
        ("w1-30 x1-30", "down outage"),
        ("w1-30 x1-30 e1-30", "down outage"),
        ("w1-30 x1-29", "suspect outage"),
        ("w1-30", "suspect outage"),
        // One region, however many see it: that is its uplink.
        ("w1-90 w2-90 w3-90 w4-90 w5-90", "suspect outage"),
        ("w1-90 w2-90 w3-90 w4-90 x1+", "suspect asymmetric"),
        ("w1-90 w2-90 w3-90 x1-5", "suspect outage"),
        ("e1-90 e2-90 w1-90", "suspect outage"),
    ]);
}

#[test]
fn what_has_not_been_seen_for_the_whole_time_is_not_sustained() {
    rows(&[
        // 31 s ago to 1 s ago: failures lie 30 s apart.
        ("w1-31@1 x1-31@1", "down outage"),
        // The last failure was seen 29 s after the first; that more time has passed shows nothing.
        ("w1-31@2 x1-31@2", "suspect outage"),
        // A pass has broken the row.
        ("w1/ w2/ x1/ x2/", "suspect outage"),
        ("w1-30 w2/ x1-30 x2/", "suspect outage"),
    ]);
}

#[test]
fn a_failure_that_the_region_alone_sees_is_suspect() {
    rows(&[
        ("e1-90 e2-90 w1+ w2+ x1+ x2+", "suspect local-only"),
        ("e1-90 w1+", "suspect local-only"),
        ("e1+ e2+ w1+ x1+", "healthy well"),
        ("w1+", "healthy well"),
    ]);
}

#[test]
fn a_failure_that_the_region_does_not_see_is_suspect() {
    rows(&[
        ("e1+ e2+ w1-90 w2-90 x1-90 x2-90", "suspect outside-only"),
        ("e1+ e2-90 w1-90 x1-90", "down outage"),
        ("e1+ e2+ e3-90 w1-90 x1-90", "suspect outside-only"),
        // The region's word is as old as its observers: what they saw before says nothing about now.
        ("e1+@4 e2+@4 w1-30 x1-30", "suspect outside-only"),
        ("e1+@5 e2+@5 w1-30 x1-30", "down outage"),
        ("e1+z e2+z w1-30 x1-30", "down outage"),
        ("e1+! e2+! w1-30 x1-30", "down outage"),
    ]);
}

#[test]
fn the_regions_last_pass_from_before_the_outage_contradicts_nothing() {
    let slow = Check { interval: Duration::from_secs(10), ..http("api") };
    // Fresh for 31 s, overdue after 17 s.
    let judged = |script: &str| Scene::east(script).set_checks(vec![slow.clone()]).judged(EAST);
    assert_eq!(judged("e1+@31 w1-30 x1-30"), "down outage", "from before, and overdue");
    assert_eq!(judged("e1+@29 w1-30 x1-30"), "suspect outside-only", "from after its beginning");
    assert_eq!(judged("e1+@16 w1-30 x1-30"), "suspect outside-only");
}

#[test]
fn an_asymmetric_link_is_named() {
    let verdict = Scene::east("w1-90 w2-90 x1+ x2+").of(EAST);
    let link = "agreement: us-west-2 → us-east-1 fails, eu-central-1 → us-east-1 passes";
    assert!(verdict.missing.iter().any(|missing| missing == link), "{:?}", verdict.missing);
}

#[test]
fn an_observer_that_doubts_itself_has_no_vote() {
    rows(&[
        ("w1-30! w2-30! x1-30 x2-30", "suspect outage"),
        ("w1-30! w2-30 x1-30 x2+!", "down outage"),
        ("w1-30! x1-30!", "unknown blind"),
        ("w1+! x1-30 w2-30", "down outage"),
    ]);
    let view = Scene::east("w1-30!").of(EAST).views.remove(0);
    assert!(!view.counts);
    assert_eq!(view.because, "the observer doubts itself: its timers slip");
}

#[test]
fn when_most_regions_look_dead_nothing_is_down() {
    let outside = "x1-90 x2-90 y1-90 y2-90";
    let scene = Scene::east(outside).and(WEST, "api", outside);
    assert_eq!(scene.judged(EAST), "suspect most-regions-down");
    assert_eq!(scene.judged(WEST), "suspect most-regions-down");
    let one = Scene::east(outside).and(WEST, "api", "x1+ x2+ y1+ y2+");
    assert_eq!((one.judged(EAST), one.judged(WEST)), ("down outage".to_owned(), "healthy well".to_owned()));
    let three = |west: &str| {
        let role = (fixtures::region(EU), crate::manifest::RegionRole::Standby);
        let scene = Scene::east(outside).and(WEST, "api", west).and(EU, "api", "w1+ y1+");
        scene.set(|service| service.manifest.regions.extend([role])).judged(EAST)
    };
    assert_eq!(three("x1-90 y1-90"), "suspect most-regions-down", "two of three");
    assert_eq!(three("x1+ y1+"), "down outage", "one of three");
    let beginning = Scene::east(outside).and(WEST, "api", "x1-1 x2-1 y1-1 y2-1");
    assert_eq!(beginning.judged(EAST), "suspect most-regions-down", "however short the second");
}

#[test]
fn the_loss_of_an_observer_region_makes_no_verdict_and_leaves_the_others_theirs() {
    rows(&[
        // Those of x fell silent: they say nothing, and one region is left.
        ("w1+ w2+ x1-90z x2-90z", "healthy well"),
        ("w1-90 w2-90 x1-90z x2-90z", "suspect outage"),
        ("w1-90 w2-90 x1+z x2+z y1-90 y2-90", "down outage"),
    ]);
}

#[test]
fn a_slow_observer_is_not_counted_and_holds_nobody_up() {
    rows(&[("w1-30 x1-30 x2-90@9", "down outage"), ("w1-30 x1+ w2-90@9", "suspect asymmetric")]);
}

#[test]
fn clocks_of_observers_change_nothing() {
    let skewed = |at: u64| {
        let mut scene = Scene::east("w1-30 w2-29 x1-30 x2+");
        for sight in &mut scene.sights {
            let mut signal = (*sight.signal).clone();
            signal.at = Timestamp::from_millis(at);
            if let Reading::Failing { since, .. } = &mut signal.reading {
                *since = Timestamp::from_millis(at / 2);
            }
            sight.signal = Arc::new(signal);
        }
        scene.judged(EAST)
    };
    assert_eq!(skewed(0), skewed(u64::MAX));
    assert_eq!(skewed(0), "suspect asymmetric");
}

#[test]
fn a_new_leader_needs_a_quorum_and_no_new_window() {
    let new = |script: &str, unheard: &str, seconds: u64| {
        let scene = Scene::east(script).with_unheard(unheard);
        Scene { led_since: ago(seconds), ..scene }.judged(EAST)
    };
    assert_eq!(new("w1-40 w2-40 x1-40", "x2", 0), "down outage", "three of the four that are registered");
    assert_eq!(new("w1-40 x1-40", "w2 x2", 5), "suspect outage", "the two others may see it well");
    assert_eq!(new("w1-40 x1-40", "w2 x2", 6), "down outage", "they are not there");
    assert_eq!(new("w1-40 x1-40", "e1 e2 e3", 0), "down outage", "the lost region's own are not waited for");
}

#[test]
fn an_observer_that_is_not_registered_is_none() {
    let mut scene = Scene::east("w1-90 x1-90");
    scene.observers.remove(&fixtures::agent("x1"));
    assert_eq!(scene.judged(EAST), "suspect outage");
}

#[test]
fn a_critical_check_vetoes_and_others_do_not() {
    let other = |name: &str| Check { critical: false, ..http(name) };
    let both = |checks: [Check; 2], api: &str, web: &str| {
        Scene::east(api).and(EAST, "web", web).set_checks(checks.to_vec()).judged(EAST)
    };
    let (down, well) = ("w1-30 x1-30", "w1+ x1+");
    assert_eq!(both([http("api"), http("web")], down, well), "down outage", "one critical check is enough");
    assert_eq!(both([http("api"), other("web")], down, well), "down outage");
    assert_eq!(both([other("web"), http("api")], well, down), "suspect grey", "web is not critical");
    assert_eq!(both([other("api"), other("web")], down, well), "suspect grey");
    assert_eq!(both([other("api"), other("web")], down, down), "down outage", "nothing of it is left");
    assert_eq!(both([other("api"), other("web")], down, "w1-30 x1+"), "suspect outage");
    assert_eq!(both([http("api"), other("web")], well, well), "healthy well");
    assert_eq!(both([http("api"), other("web")], "", well), "unknown blind", "the critical one is not known");
    // Different observers see different checks fail: no quorum for either.
    assert_eq!(both([http("api"), http("web")], "w1-30 x1+", "w1+ x1-30"), "suspect asymmetric");
}

#[test]
fn what_is_only_observed_counts_for_nothing() {
    let watched = Check { observe_only: true, ..http("web") };
    let scene = |api: &str| Scene::east(api).and(EAST, "web", "w1-90 w2-90 x1-90 x2-90");
    let judged = |api: &str| scene(api).set_checks(vec![http("api"), watched.clone()]).judged(EAST);
    assert_eq!(judged("w1+ x1+"), "healthy well");
    assert_eq!(judged("w1-90 x1+"), "suspect asymmetric");
    let alone = scene("").set_checks(vec![watched.clone()]);
    assert_eq!(alone.judged(EAST), "unknown blind");
    assert!(alone.of(EAST).views.iter().all(|view| !view.counts && view.because == "the check is observed only"));
}

#[test]
fn a_check_that_is_no_more_or_not_asked_from_there_has_no_say() {
    let scene = Scene::east("w1+ x1+").and(EAST, "gone", "w1-90 w2-90 x1-90 x2-90");
    assert_eq!(scene.judged(EAST), "healthy well");
    assert_eq!(scene.of(EAST).views.len(), 2);
    let own = Check { from: Vantage::Own, ..http("api") };
    let judged = |script: &str| Scene::east(script).set_checks(vec![own.clone()]).judged(EAST);
    assert_eq!(judged("w1-90 w2-90 x1-90 x2-90"), "unknown blind", "they are not asked any more");
    assert_eq!(judged("e1-90 e2-90"), "suspect local-only");
    assert_eq!(judged("e1+ e2+"), "healthy well");
    let others = Check { from: Vantage::Others, ..http("api") };
    let judged = |script: &str| Scene::east(script).set_checks(vec![others.clone()]).judged(EAST);
    assert_eq!(judged("e1+ e2+ w1-30 x1-30"), "down outage", "the region's own word is not asked");
}

#[test]
fn what_was_seen_before_the_manifest_was_applied_is_of_another_check() {
    let judged = |applied| Scene::east("w1-90@2 x1-90@2").set(|service| service.applied_at = ago(applied)).judged(EAST);
    assert_eq!(judged(3), "down outage");
    assert_eq!(judged(1), "unknown blind");
}

#[test]
fn several_sights_of_one_observer_are_one_vote_and_the_newest() {
    rows(&[
        ("w1-90 w1-90 w1-90@1 x1+ x2+", "suspect asymmetric"),
        ("w1-90@2 w1+ x1-90@2 x1+", "healthy well"),
        ("w1+@2 w1-32 x1-32 x1+@2", "down outage"),
    ]);
}

#[test]
fn an_explicit_quorum_is_asked_for_and_never_against_those_who_see_it_well() {
    let judged = |quorum: u32, script: &str| {
        Scene::east(script).set(|service| service.manifest.policy.quorum = Some(quorum)).judged(EAST)
    };
    assert_eq!(judged(4, "w1-30 w2-30 x1-30 x2+"), "suspect asymmetric");
    assert_eq!(judged(4, "w1-30 w2-30 x1-30 x2-30"), "down outage");
    assert_eq!(judged(2, "w1-30 x1-30 w2+ x2+"), "suspect asymmetric", "as many see it well");
    assert_eq!(judged(1, "w1-30 w2-30"), "suspect outage", "two regions whatever the number");
    assert_eq!(judged(9, "w1-30 w2-30 x1-30 x2-30"), "suspect outage");
}

#[test]
fn an_alternating_check_must_fail_for_longer_and_not_for_ever() {
    rows(&[
        ("w1-30~1 w2-30~1 x1-30~1 x2-30~1", "down outage"),
        ("w1-59~2 w2-59~2 x1-59~2 x2-59~2", "suspect flapping"),
        ("w1-60~2 w2-60~2 x1-60~2 x2-60~2", "down outage"),
        ("w1-119~8 w2-119~8 x1-119~8 x2-119~8", "suspect flapping"),
        ("w1-120~8 w2-120~8 x1-120~8 x2-120~8", "down outage"),
        ("w1+~3 w2+~3 x1+~3 x2+~3", "suspect flapping"),
        ("w1+~3 w2+ x1+ x2+", "healthy well"),
    ]);
}

#[test]
fn what_is_missing_is_said_in_words() {
    let missing = |script: &str| Scene::east(script).of(EAST).missing;
    assert_eq!(missing("w1-30 w2-30 x1-30 x2-30"), Vec::<String>::new());
    assert_eq!(missing("w1+ x1+"), Vec::<String>::new());
    assert_eq!(missing("w1-11 w2-11 x1-14 x2-14"), ["11 s of 30 s"]);
    assert_eq!(missing("w1-11 w2-9 x1-14 x2-14"), ["11 s of 30 s"], "the third of four is needed");
    assert_eq!(missing("w1-40 w2-40 x1+ x2+").first().map(String::as_str), Some("1 more observer outside us-east-1"));
    assert_eq!(
        missing("w1-40 w2-40"),
        ["a failing view from 1 more region outside us-east-1"],
        "both of those that are there"
    );
    assert_eq!(missing("w1-59~2 x1-70~2"), ["59 s of 60 s: it alternates, and must fail for longer"]);
    assert_eq!(missing("w1/ x1/"), ["0 s of 30 s"]);
    assert_eq!(missing(""), ["a fresh answer to api from outside us-east-1"]);
    assert_eq!(missing("e1+ w1-40 x1-40"), ["us-east-1 itself sees api pass: it may be the way to it that fails"]);
    assert_eq!(
        missing("e1-40 w1+ x1+"),
        ["2 observers outside us-east-1 to see api fail: only its own region does, 2 observers see it well"]
    );
    let new = Scene { led_since: ago(2), ..Scene::east("w1-40 x1-40").with_unheard("w2 x2") };
    assert_eq!(
        new.of(EAST).missing,
        ["1 more observer outside us-east-1", "word of 2 observers yet unheard, or 4 s more: this leader is new"]
    );
}

#[test]
fn an_outage_is_dated_by_the_quorum_that_saw_it() {
    // One has had trouble for an hour; the outage is of half a minute ago.
    let verdict = Scene::east("w1-900 w2-31 x1-33 x2-32").of(EAST);
    assert_eq!(verdict.since, Some(ago(32)));
    assert_eq!(
        verdict.quorum,
        Quorum { needed: 3, fresh: 4, failing: 4, regions_failing: 2, regions_needed: REGIONS_NEEDED }
    );
}

#[test]
fn a_view_says_why_it_counts() {
    let scene = Scene::east("w1-30 w2+ x1-30@9 x2? e1-2 y1/ y2-30z").with_unheard("w9");
    let views = scene.of(EAST).views;
    let because: BTreeMap<&str, (bool, &str)> =
        views.iter().map(|view| (view.observer.as_str(), (view.counts, view.because.as_str()))).collect();
    assert_eq!(because["w1"], (true, "fresh; failures seen over 30 s"));
    assert_eq!(because["w2"], (true, "fresh"));
    assert_eq!(because["x1"], (false, "seen 9 s ago, too old"));
    assert_eq!(because["x2"], (false, "the observer could not find out"));
    assert_eq!(because["e1"], (false, "the region's own view is compared, not counted"));
    assert_eq!(because["y1"], (true, "fresh; its last answer was a pass, too few to be well again"));
    assert_eq!(because["y2"], (false, "the observer has been silent for 7 s"));
}

#[test]
fn people_are_shown_so_many_views_and_all_are_counted() {
    let observers: Vec<String> = (0..40).flat_map(|n| [format!("w{n:02}"), format!("x{n:02}")]).collect();
    let mut scene = Scene::new();
    for observer in &observers {
        // Three characters: `take` wants two.
        scene.take(EAST, "api", "w1-30");
        let mut sight = scene.sights.pop().expect("just taken");
        let mut signal = (*sight.signal).clone();
        signal.observer = fixtures::agent(observer);
        sight.signal = Arc::new(signal);
        scene.sights.push(sight);
        let region = fixtures::region(place(observer));
        let heard_at = Some(fixtures::at(NOW));
        scene.observers.insert(fixtures::agent(observer), Observer { region, heard_at, doubt: None });
    }
    let verdict = scene.of(EAST);
    assert_eq!((verdict.verdict, verdict.quorum.fresh, verdict.views.len()), (Verdict::Down, 80, VIEWS_MAX));
}

#[test]
fn what_is_short_is_what_the_quorum_still_lacks() {
    for (script, short) in [
        ("w1+ x1+", None),
        ("e1-30 w1+ x1+", None),
        ("w1-30 x1-30", None),
        ("w1-29 x1-29", Some(2)),
        ("w1-30 w2-30 x1-29 x2-29", Some(1)),
        ("w1-30 w2-30 x1+ x2+", Some(1)),
        ("w1-30 w2+ x1+ x2+", Some(3)),
        // As many as are needed, of one region: whoever comes next may be of another.
        ("w1-90 w2-90 w3-90 w4-90 w5-90", Some(1)),
    ] {
        assert_eq!(Scene::east(script).of(EAST).short, short, "{script}");
    }
}

#[test]
fn of_many_views_those_are_kept_that_fail_and_count_in_the_order_of_their_names() {
    let digits = || "0123456789abcdefghijklmnopqrstuv".chars();
    let well = ['w', 'x', 'y'].into_iter().flat_map(|place| digits().map(move |digit| format!("{place}{digit}+")));
    let mut words: Vec<String> = well.filter(|word| !["x3+", "x7+", "y9+"].contains(&word.as_str())).collect();
    words.extend(["y9-30", "e1-30", "x7-30", "x3-30"].map(str::to_owned));
    let views = Scene::east(&words.join(" ")).of(EAST).views;
    let names: Vec<&str> = views.iter().map(|view| view.observer.as_str()).collect();
    assert_eq!(views.len(), VIEWS_MAX);
    assert_eq!(names.get(..4), Some(["x3", "x7", "y9", "e1"].as_slice()));
    assert!(names.get(4..).is_some_and(|rest| rest.is_sorted()), "{names:?}");
}
