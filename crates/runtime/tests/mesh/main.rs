//! The runtime on real sockets: every test has its own authority, files and ports.

mod access;
mod client;
mod pki;
mod renew;
mod serve;
mod support;
mod tls;
