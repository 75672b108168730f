//! The coordinators: each by itself, then together.

use std::time::Duration;

use mesh_core::survey::Finding;
use mesh_core::time::Timestamp;
use mesh_proto::v1;

use crate::failure::Failure;
use crate::render::text;

/// Nodes that differ by more put wrong times into the record; the wait for late calls has five minutes to spare.
const SKEW_SEEN: Duration = Duration::from_secs(2);
const SKEW_MAX: Duration = Duration::from_secs(60);
/// A member that the leader has not heard of for so long is down.
const SILENT: Duration = Duration::from_secs(10);
/// Entries behind the leader that are more than what is on its way.
const BEHIND: u64 = 1000;

/// What one coordinator said of itself, and between which two moments of ours.
pub struct Seen {
    pub address: String,
    pub answer: Result<v1::GetStatusResponse, Failure>,
    pub asked: Timestamp,
    pub heard: Timestamp,
}

pub fn each(seen: &[Seen]) -> Vec<Finding> {
    seen.iter().flat_map(one).collect()
}

fn one(seen: &Seen) -> Vec<Finding> {
    let subject = format!("coordinator {}", seen.address);
    match &seen.answer {
        Err(failure) => {
            let text = failure.details.first().unwrap_or(&failure.message);
            let text = text.trim_start_matches(seen.address.as_str()).trim_start_matches(": ").to_owned();
            let mend = "start it (systemctl start mesh-coordinator) and look at its log; or open the way to its port";
            let mend = failure
                .hint
                .clone()
                .filter(|_| failure.exit == crate::exit::Exit::NotAllowed)
                .unwrap_or_else(|| mend.to_owned());
            vec![Finding::problem(subject, text, mend)]
        }
        Ok(status) => {
            let node = format!("node {} answers, state {}", status.answered_by, status.applied_index);
            let more = [clock(&subject, seen, status), certificate(&subject, seen, status), version(&subject, status)];
            Some(Finding::ok(&subject, node)).into_iter().chain(more.into_iter().flatten()).collect()
        }
    }
}

/// Its clock against ours. A coordinator's clock is never behind the time of the last commit.
fn clock(subject: &str, seen: &Seen, status: &v1::GetStatusResponse) -> Option<Finding> {
    let now = Timestamp::from_millis(status.now);
    let off = now.since(seen.heard).max(seen.asked.since(now));
    let mend = "synchronise the clocks, yours among them: timedatectl set-ntp true";
    let text = format!("its clock and yours are {} apart", text::duration(off));
    if off > SKEW_MAX {
        Some(Finding::problem(subject, text, mend))
    } else if off > SKEW_SEEN {
        Some(Finding::warning(subject, text, mend))
    } else {
        None
    }
}

/// A coordinator's certificate lives for a day and is renewed with eight hours left: one with less than this was not.
const RENEWED_BEFORE: Duration = Duration::from_secs(2 * 60 * 60);

fn certificate(subject: &str, seen: &Seen, status: &v1::GetStatusResponse) -> Option<Finding> {
    let until = Timestamp::from_millis(status.certificate_until);
    // An older coordinator does not say.
    (status.certificate_until > 0 && until.since(seen.heard) < RENEWED_BEFORE).then(|| {
        let text = format!("its certificate ends at {} and was not renewed", text::time(until));
        let mend = "look at its log for why; a coordinator with [tls] issuing_certificate must be up, or issue it a new one: meshctl pki issue --role coordinator";
        Finding::warning(subject, text, mend)
    })
}

fn version(subject: &str, status: &v1::GetStatusResponse) -> Option<Finding> {
    let ours = env!("CARGO_PKG_VERSION");
    (!status.version.is_empty() && status.version != ours).then(|| {
        let text = format!("runs version {}, and this meshctl is {ours}", status.version);
        Finding::warning(subject, text, "bring all to the newest: coordinators one after another, then agents")
    })
}

/// Do the coordinators agree? `together` is what the leader said with a quorum behind it.
pub fn together(seen: &[Seen], together: &Result<v1::GetStatusResponse, Failure>) -> Vec<Finding> {
    let subject = "quorum";
    let status = match together {
        Ok(status) => status,
        Err(failure) => {
            let up = seen.iter().filter(|seen| seen.answer.is_ok()).count();
            let text = format!("{}; {up} of {} coordinators answer for themselves", failure.message, seen.len());
            let mend = match failure.exit {
                crate::exit::Exit::NotAllowed => failure.hint.clone().unwrap_or_default(),
                _ if up * 2 > seen.len() => {
                    "wait for the election of a leader, then ask again; if it does not end, look at their logs"
                        .to_owned()
                }
                _ => "start coordinators until a majority runs; until then nothing changes and traffic stays as it is"
                    .to_owned(),
            };
            return vec![Finding::problem(subject, text, mend)];
        }
    };
    let membership = status.membership.clone().unwrap_or_default();
    let mut findings = vec![Finding::ok(
        subject,
        format!("node {} leads term {}, {} voters", membership.leader, membership.term, voters(&membership)),
    )];
    findings.extend(size(&membership));
    findings.extend(regions(&membership));
    findings.extend(
        membership
            .members
            .iter()
            .filter(|member| member.id != membership.leader)
            .filter_map(|member| lagging(member, leader_index(&membership, status.applied_index))),
    );
    findings
}

fn voters(membership: &v1::Membership) -> usize {
    membership.members.iter().filter(|member| member.voter).count()
}

fn leader_index(membership: &v1::Membership, applied: u64) -> u64 {
    let matched = membership.members.iter().filter_map(|member| member.matched_index).max();
    matched.unwrap_or(applied).max(applied)
}

fn size(membership: &v1::Membership) -> Option<Finding> {
    match voters(membership) {
        3 | 5 | 7 => None,
        n => Some(Finding::warning(
            "quorum",
            format!(
                "{n} voters: {}",
                if n < 3 { "the loss of one stops the mesh" } else { "an even number adds no safety" }
            ),
            "have 3 or 5: meshctl coordinator add",
        )),
    }
}

fn regions(membership: &v1::Membership) -> Option<Finding> {
    let majority = voters(membership) / 2 + 1;
    let of = |region: &str| membership.members.iter().filter(|member| member.voter && member.region == region).count();
    let heavy = membership.members.iter().find(|member| voters(membership) > 1 && of(&member.region) >= majority)?;
    let text = format!(
        "{} of {} voters are in {}: its loss stops the mesh",
        of(&heavy.region),
        voters(membership),
        heavy.region
    );
    Some(Finding::warning("quorum", text, "move coordinators: no region may hold a majority"))
}

fn lagging(member: &v1::Member, newest: u64) -> Option<Finding> {
    let subject = format!("node {} ({}, {})", member.id, member.address, member.region);
    let silent = member.last_heard_ms_ago.map(Duration::from_millis).filter(|silent| *silent > SILENT);
    if let Some(silent) = silent {
        let text = format!("has not answered the leader for {}", text::duration(silent));
        return Some(Finding::problem(subject, text, "start it, or look at the way between them"));
    }
    let behind =
        member.matched_index.map(|matched| newest.saturating_sub(matched)).filter(|behind| *behind > BEHIND)?;
    let text = format!("is {behind} entries behind the leader");
    Some(Finding::warning(subject, text, "wait until it has caught up; if it does not, look at its disk and its log"))
}

#[cfg(test)]
mod tests {
    use mesh_core::survey::Level;

    use super::*;

    fn status(now: u64) -> v1::GetStatusResponse {
        let member = |id: u64, region: &str| v1::Member {
            id,
            address: format!("10.0.0.{id}:7001"),
            region: region.to_owned(),
            voter: true,
            matched_index: Some(5000),
            last_heard_ms_ago: Some(100),
        };
        v1::GetStatusResponse {
            now,
            applied_index: 5000,
            membership: Some(v1::Membership {
                leader: 1,
                term: 4,
                members: vec![member(1, "us-east-1"), member(2, "us-west-2"), member(3, "eu-central-1")],
            }),
            ..v1::GetStatusResponse::default()
        }
    }

    fn seen(answer: Result<v1::GetStatusResponse, Failure>) -> Seen {
        let at = Timestamp::from_millis(1_000_000);
        Seen { address: "10.0.0.1:7001".to_owned(), answer, asked: at, heard: at.plus(Duration::from_millis(20)) }
    }

    fn worst(findings: &[Finding]) -> Level {
        findings.iter().map(|finding| finding.level).max().expect("findings")
    }

    #[test]
    fn three_that_agree_are_well() {
        let answer = Ok(status(1_000_010));
        assert_eq!(worst(&together(&[seen(Ok(status(1_000_010)))], &answer)), Level::Ok);
        assert_eq!(worst(&each(&[seen(answer)])), Level::Ok);
    }

    #[test]
    fn a_clock_that_is_off_is_told_either_way() {
        for (now, expected) in [
            (1_000_015, Level::Ok),
            (1_010_000, Level::Warning),
            (990_000, Level::Warning),
            (1_100_000, Level::Problem),
            (900_000, Level::Problem),
        ] {
            assert_eq!(worst(&each(&[seen(Ok(status(now)))])), expected, "{now}");
        }
    }

    #[test]
    fn another_version_and_a_certificate_that_was_not_renewed_are_told() {
        let of = |edit: fn(&mut v1::GetStatusResponse)| {
            let mut answer = status(1_000_010);
            edit(&mut answer);
            worst(&each(&[seen(Ok(answer))]))
        };
        assert_eq!(of(|status| status.version = env!("CARGO_PKG_VERSION").to_owned()), Level::Ok);
        assert_eq!(of(|status| status.version = "0.0.1".to_owned()), Level::Warning);
        assert_eq!(of(|status| status.certificate_until = 1_000_010 + 24 * 3_600_000), Level::Ok);
        assert_eq!(of(|status| status.certificate_until = 1_000_010 + 3_600_000), Level::Warning);
    }

    #[test]
    fn without_a_quorum_it_says_how_many_are_up_and_what_that_means() {
        let gone = || Err(Failure::new(crate::exit::Exit::Unreachable, "the mesh could not answer"));
        let minority = together(&[seen(Ok(status(1))), seen(gone()), seen(gone())], &gone());
        assert!(minority[0].text.contains("1 of 3"), "{}", minority[0].text);
        assert!(minority[0].mend.contains("majority"), "{}", minority[0].mend);
        let majority = together(&[seen(Ok(status(1))), seen(Ok(status(1))), seen(gone())], &gone());
        assert!(majority[0].mend.contains("election"), "{}", majority[0].mend);
    }

    #[test]
    fn a_silent_member_a_late_one_and_a_heavy_region_are_told() {
        let mut silent = status(1);
        let members = &mut silent.membership.as_mut().expect("members").members;
        members[1].last_heard_ms_ago = Some(60_000);
        members[2].matched_index = Some(1);
        members[2].region = "us-east-1".to_owned();
        let findings = together(&[], &Ok(silent));
        let texts: Vec<&str> = findings.iter().map(|finding| finding.text.as_str()).collect();
        assert!(texts.iter().any(|text| text.contains("not answered the leader")), "{texts:?}");
        assert!(texts.iter().any(|text| text.contains("4999 entries behind")), "{texts:?}");
        assert!(texts.iter().any(|text| text.contains("2 of 3 voters are in us-east-1")), "{texts:?}");
    }
}
