//! Where this network cannot be made, tests say so and do nothing.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The helper, beside this program or the tests' directory: `cargo build --workspace --bins` makes it.
pub fn port_program() -> PathBuf {
    let own = std::env::current_exe().expect("a running test has an executable");
    let beside = own.with_file_name("mesh-wan-port");
    if beside.is_file() {
        return beside;
    }
    let profile = own.parent().and_then(|deps| deps.parent()).expect("a test lies in target/<profile>/deps");
    profile.join("mesh-wan-port")
}

/// Why there can be no such network here, if there can be none. A helper makes a device in a namespace of its own and
/// says what stopped it.
pub fn skip_reason() -> Option<String> {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    REASON.get_or_init(try_one).clone()
}

fn try_one() -> Option<String> {
    let port = port_program();
    assert!(port.is_file(), "{} is missing: `cargo build --workspace --bins` first", port.display());
    let tried = Command::new("unshare").args(["--net", "--"]).arg(port).arg("--check").stdin(Stdio::null()).output();
    match tried {
        Err(error) => Some(format!("unshare: {error}")),
        Ok(tried) if tried.status.success() => enter_one(),
        Ok(tried) => Some(String::from_utf8_lossy(&tried.stderr).trim().to_owned()),
    }
}

fn enter_one() -> Option<String> {
    let tried = Command::new("nsenter").args(["--net=/proc/self/ns/net", "--", "true"]).output();
    match tried {
        Err(error) => Some(format!("nsenter: {error}")),
        Ok(tried) if tried.status.success() => None,
        Ok(tried) => Some(String::from_utf8_lossy(&tried.stderr).trim().to_owned()),
    }
}
