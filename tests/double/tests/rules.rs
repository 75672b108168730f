//! The double's rules, asked directly: the same calls at the same times give the same answers.

#[path = "rules/asking.rs"]
mod asking;
#[path = "rules/databases.rs"]
mod databases;
#[path = "rules/names.rs"]
mod names;
#[path = "rules/notices.rs"]
mod notices;
#[path = "rules/regions.rs"]
mod regions;
