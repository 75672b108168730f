//! The providers over real sockets, against replies that are written down here. What a whole AWS does is the
//! double's matter; here it is how one exchange is read.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "what fails here fails a test")]

#[path = "wire/dns.rs"]
mod dns;
#[path = "wire/failures.rs"]
mod failures;
#[path = "wire/jobs.rs"]
mod jobs;
#[path = "wire/rds.rs"]
mod rds;
#[path = "wire/route53.rs"]
mod route53;
#[path = "wire/sns.rs"]
mod sns;
#[path = "wire/stub.rs"]
mod stub;
#[path = "wire/verify.rs"]
mod verify;
