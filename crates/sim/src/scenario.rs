//! What would happen to a service of a user's own: its manifest, a fault by name, many runs.
//!
//! The manifest is read into a [`Given`], which takes the place of the simulator's own. What cannot be simulated of it is
//! told, never left out in silence. What a manifest does not say (distances, how long a provider takes) is [`assumed`].

pub mod assumed;
pub mod given;
pub mod many;
mod model;
pub mod named;
pub mod play;
pub mod second;
pub mod sum;

pub use assumed::Assumed;
pub use given::{Given, Unfit};
pub use many::{Many, play_all};
pub use model::Provider;
pub use named::Scenario;
pub use play::{End, Played};
pub use sum::{Spread, Summary};
