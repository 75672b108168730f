//! The names under which a client asks for a server. They are neither sent nor in any certificate: they tell the verifier
//! whom the client wants, and keep the TLS sessions of different servers apart.

use rustls::pki_types::ServerName;

const COORDINATOR: &str = "coordinator";
const AGENTS: &str = "agent";
/// Bytes of a name in one DNS label, which has 63 characters.
const BYTES_PER_LABEL: usize = 31;

/// Any coordinator.
pub(crate) fn coordinator() -> ServerName<'static> {
    ServerName::try_from(COORDINATOR).expect("a DNS label")
}

/// The agent of this name. In hexadecimal, since not every name is a DNS name.
pub(crate) fn agent(name: &str) -> ServerName<'static> {
    let mut text = String::new();
    for label in name.as_bytes().chunks(BYTES_PER_LABEL) {
        text.extend(label.iter().map(|byte| format!("{byte:02x}")));
        text.push('.');
    }
    // What is too long for a DNS name is the name of no agent either.
    ServerName::try_from(text + AGENTS).unwrap_or_else(|_| ServerName::try_from(AGENTS).expect("a DNS label"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_agent_has_a_name_of_its_own() {
        let longest = "a".repeat(63);
        let names = ["use1-a", "use1-b", "a_b", "a.", "coordinator", &longest].map(agent);
        for (nth, name) in names.iter().enumerate() {
            assert!(*name != coordinator());
            assert!(names.iter().skip(nth + 1).all(|other| other != name), "{name:?}");
        }
    }
}
