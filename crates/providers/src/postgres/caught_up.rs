//! Has the replica everything that the fenced primary ever acknowledged?

use mesh_core::execute::Observation;
use serde_json::json;

use super::state::State;
use super::{Fenced, lsn};

/// `left`: where the server left the primary's timeline, if it was promoted.
pub(super) fn observe(found: &State, left: Option<u64>, fenced: Option<&Fenced>) -> Observation {
    let Some(fenced) = fenced else {
        return Observation::Pending { note: "waits for the read-back of the fence".to_owned() };
    };
    if let Some(reason) = another_cluster(found, &fenced.system_identifier) {
        return Observation::Blocked { reason };
    }
    if !found.in_recovery {
        return promoted(found, left, fenced);
    }
    if found.timeline > fenced.timeline {
        return Observation::Blocked {
            reason: format!(
                "the target follows timeline {}, and the fenced primary writes timeline {}: another server was promoted",
                found.timeline, fenced.timeline
            ),
        };
    }
    match found.replay_lsn {
        Some(replayed) if replayed >= fenced.last_lsn && found.followed == fenced.timeline => {
            let read_back = json!({
                "replay_lsn": lsn(replayed),
                "last_lsn": lsn(fenced.last_lsn),
                "timeline": fenced.timeline,
                "lag_bytes": 0,
            });
            Observation::Satisfied { read_back: read_back.to_string() }
        }
        replayed => {
            let streams = if found.streaming { "" } else { "; it does not stream at this moment" };
            Observation::Pending {
                note: format!(
                    "replayed {}, the primary's last is {}{streams}",
                    replayed.map_or_else(|| "nothing".to_owned(), lsn),
                    lsn(fenced.last_lsn)
                ),
            }
        }
    }
}

fn promoted(found: &State, left: Option<u64>, fenced: &Fenced) -> Observation {
    match left {
        Some(left) if left >= fenced.last_lsn && found.timeline > fenced.timeline => {
            let read_back = json!({
                "standalone": true,
                "timeline": found.timeline,
                "left_at": lsn(left),
                "last_lsn": lsn(fenced.last_lsn),
                "note": "promoted already, with everything up to the fence",
            });
            Observation::Satisfied { read_back: read_back.to_string() }
        }
        left => Observation::Blocked { reason: lacks(found, left, fenced) },
    }
}

pub(super) fn lacks(found: &State, left: Option<u64>, fenced: &Fenced) -> String {
    format!(
        "somebody promoted the target to timeline {} at {}, and the fenced primary wrote timeline {} up to {}: writes \
         of it are missing there",
        found.timeline,
        left.map_or_else(|| "an unknown place".to_owned(), lsn),
        fenced.timeline,
        lsn(fenced.last_lsn)
    )
}

pub(super) fn another_cluster(found: &State, expected: &str) -> Option<String> {
    (found.system_identifier != expected).then(|| {
        format!(
            "the target's system identifier is {}, and {expected} was expected: it is no replica of this primary",
            found.system_identifier
        )
    })
}
