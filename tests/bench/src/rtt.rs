//! Round trips between three regions.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Milliseconds between the first and the second region, the first and the third, the second and the third.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtt([u64; 3]);

impl Rtt {
    pub fn round_trips(self) -> [Duration; 3] {
        self.0.map(Duration::from_millis)
    }

    /// Between the two regions that are left when the first is lost.
    pub fn of_the_others(self) -> f64 {
        let [_, _, others] = self.0;
        others as f64
    }
}

impl FromStr for Rtt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Result<Vec<u64>, _> = text.split('/').map(str::parse).collect();
        match parts.as_deref() {
            Ok([all]) => Ok(Self([*all; 3])),
            Ok([a, b, c]) => Ok(Self([*a, *b, *c])),
            Ok(_) | Err(_) => Err(format!("{text:?} is neither `60` nor `60/100/150`")),
        }
    }
}

impl fmt::Display for Rtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [a, b, c] if a == b && b == c => write!(f, "{a}"),
            [a, b, c] => write!(f, "{a}/{b}/{c}"),
        }
    }
}
