//! Two-person decisions need two persons with keys.

use std::collections::BTreeSet;

use mesh_core::access::APPROVALS_NEEDED;
use mesh_core::fleet::EnrolledKey;
use mesh_core::ids::KeyId;
use mesh_core::survey::Finding;

pub fn keys(keys: &[(KeyId, EnrolledKey)]) -> Finding {
    let owners: BTreeSet<&str> = keys.iter().map(|(_, key)| key.owner.as_str()).collect();
    let mend =
        "meshctl keys generate --name NAME --owner PERSON -o FILE, then as an admin: meshctl keys enroll FILE.pub";
    match owners.len() {
        n if n >= APPROVALS_NEEDED => {
            Finding::ok("approval keys", format!("of {}", owners.into_iter().collect::<Vec<_>>().join(", ")))
        }
        0 => Finding::problem(
            "approval keys",
            "none is enrolled: a failover out of a dead region would be held, and nobody could consent",
            mend,
        ),
        _ => Finding::problem(
            "approval keys",
            format!(
                "only {} has one: a decision of two cannot be made",
                owners.into_iter().collect::<Vec<_>>().join(", ")
            ),
            mend,
        ),
    }
}

#[cfg(test)]
mod tests {
    use mesh_core::survey::Level;
    use mesh_core::time::Timestamp;

    use super::*;

    fn of(owners: &[&str]) -> Level {
        let key = |(n, owner): (usize, &&str)| {
            let key = EnrolledKey {
                owner: (*owner).to_owned(),
                public_key: vec![0; 32],
                enrolled_by: String::new(),
                enrolled_at: Timestamp::from_millis(0),
            };
            (KeyId::new(format!("key-{n}")).expect("a name"), key)
        };
        keys(&owners.iter().enumerate().map(key).collect::<Vec<_>>()).level
    }

    #[test]
    fn two_keys_of_one_person_are_not_two_persons() {
        assert_eq!(of(&[]), Level::Problem);
        assert_eq!(of(&["ann", "ann"]), Level::Problem);
        assert_eq!(of(&["ann", "bob"]), Level::Ok);
    }
}
