//! What happened, in order, each line with its simulated time; and one number for all of it.

use std::time::Duration;

use sha2::{Digest, Sha256};

#[derive(Default)]
pub struct Trace {
    hash: Sha256,
    lines: u64,
    pub told: bool,
}

impl Trace {
    pub fn line(&mut self, at: Duration, text: impl AsRef<str>) {
        let line = format!("{:>9.3} {}\n", at.as_secs_f64(), text.as_ref());
        self.hash.update(&line);
        self.lines += 1;
        if self.told {
            print!("{line}");
        }
    }

    pub fn lines(&self) -> u64 {
        self.lines
    }

    pub fn hash(&self) -> String {
        self.hash.clone().finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}
