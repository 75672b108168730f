//! Readers of texts that others wrote, for `tests/fuzz` alone: inside, each is called where it stands.

/// A name as Route 53 spells it, without case, escapes and final dot.
pub fn route53_name(name: &str) -> String {
    crate::route53::name::normal_name(name)
}

/// Where the last timeline was left, by PostgreSQL's history file.
pub fn timeline_switch(history: &str) -> Option<u64> {
    crate::postgres::state::last_switch(history)
}

/// Evidence of a step, in words.
pub fn evidence_in_words(evidence: &str) -> String {
    crate::survey::looks::said(evidence)
}

/// Is this a URL that can be probed?
pub fn is_probe_url(url: &str) -> bool {
    crate::probe::is_url(url)
}
