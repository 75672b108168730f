//! What one listing of a name means to a job.

use mesh_core::execute::Observation;
use mesh_core::ids::Token;
use mesh_core::manifest::RecordSet;
use serde_json::json;

use super::batch::{Difference, refuse_empty};
use super::name::describe;
use super::{Listing, TxtSet};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Now(Observation),
    /// As wanted in Route 53's own records; done once all its name servers have it.
    OnceInSync {
        token: Token,
    },
}

/// `told_again`: a person has seen this refused and lets it go on, which adopts the records as they are.
pub(super) fn replace(
    ours: Token,
    record: &str,
    wanted: &[RecordSet],
    listing: &Listing,
    told_again: bool,
) -> Decision {
    let blocked = |reason: String| Decision::Now(Observation::Blocked { reason });
    if let Err(reason) = refuse_empty(wanted) {
        return blocked(format!("{reason}: refused"));
    }
    if !listing.foreign.is_empty() {
        return blocked(format!(
            "{record} has record sets that no manifest can restore ({}): remove or convert them first",
            listing.foreign.join("; ")
        ));
    }
    let (set, token) = match the_token(record, &listing.tokens) {
        Ok(Some(found)) => found,
        Ok(None) if told_again => return adopt(wanted, listing),
        Ok(None) => {
            return blocked(format!(
                "{record} has no fencing token, so nobody guards it: before a run `meshctl traffic setup` creates it, \
                 in a held run `meshctl retry` does"
            ));
        }
        Err(reason) => return blocked(reason),
    };
    if token > ours {
        return Decision::Now(Observation::Superseded { found: format!("token {token} at {record}") });
    }
    let difference = Difference::between(&listing.sets, wanted);
    if token.generation == ours.generation {
        return match difference.is_empty() {
            true => Decision::OnceInSync { token },
            false => blocked(format!(
                "{record} was changed by someone after this run had moved it (token {token}): {}; put it back or \
                 decide to keep it, then retry",
                explain(&difference, ("foreign", "gone"))
            )),
        };
    }
    let note = match difference.is_empty() {
        true => "the record sets are as wanted; only the token moves".to_owned(),
        false => explain(&difference, ("goes", "comes")),
    };
    let before = json!({ "token": set, "sets": listing.sets, "note": note });
    Decision::Now(Observation::Ready { before: before.to_string() })
}

/// The token is created by the batch that moves the records, which is refused if one is there by then.
fn adopt(wanted: &[RecordSet], listing: &Listing) -> Decision {
    let difference = Difference::between(&listing.sets, wanted);
    let note = format!("without a token, as a person decided; {}", explain(&difference, ("goes", "comes")));
    let before = json!({ "token": null, "sets": listing.sets, "note": note });
    Decision::Now(Observation::Ready { before: before.to_string() })
}

pub(super) fn create_token(record: &str, listing: &Listing) -> Decision {
    let blocked = |reason: String| Decision::Now(Observation::Blocked { reason });
    match the_token(record, &listing.tokens) {
        Ok(Some((_, token))) => Decision::OnceInSync { token },
        Err(reason) => blocked(reason),
        Ok(None) if listing.sets.is_empty() && listing.foreign.is_empty() => blocked(format!(
            "{record} has no A, AAAA or CNAME record in this zone: create its records first, or correct the manifest"
        )),
        Ok(None) => {
            let note = format!("{} record sets are adopted as they are", listing.sets.len());
            let before = json!({ "token": null, "sets": listing.sets, "foreign": listing.foreign, "note": note });
            Decision::Now(Observation::Ready { before: before.to_string() })
        }
    }
}

fn the_token<'a>(record: &str, tokens: &'a [TxtSet]) -> Result<Option<(&'a TxtSet, Token)>, String> {
    let odd = || {
        format!(
            "the TXT record _mesh.{record} is not one token GENERATION.INTENT: someone else wrote there; restore or \
             delete it, then run `meshctl traffic setup`"
        )
    };
    match tokens {
        [] => Ok(None),
        [set] => set.token().map(|token| Some((set, token))).ok_or_else(odd),
        _ => Err(odd()),
    }
}

fn explain(difference: &Difference<'_>, (surplus, missing): (&str, &str)) -> String {
    let surplus = difference.surplus.iter().map(|set| format!("{surplus}: {}", describe(set)));
    let missing = difference.missing.iter().map(|set| format!("{missing}: {}", describe(set)));
    surplus.chain(missing).collect::<Vec<_>>().join("; ")
}
