//! Core values to messages and back, by theme. Each file destructures both sides completely, so that a new field is a
//! compile error here and not a value that gets lost.

/// `From` by value beside the one by reference.
macro_rules! by_value {
    ($($core:ty => $wire:ty),+ $(,)?) => {
        $(impl From<$core> for $wire {
            fn from(value: $core) -> Self {
                Self::from(&value)
            }
        })+
    };
}

/// Enums whose members correspond one to one; the wire's unspecified member is refused.
macro_rules! enums {
    ($($wire:path, $name:literal => $core:path { $($member:ident),+ })+) => {
        $(impl From<$core> for $wire {
            fn from(value: $core) -> Self {
                match value {
                    $(<$core>::$member => Self::$member,)+
                }
            }
        }

        impl TryFrom<$wire> for $core {
            type Error = crate::error::DecodeError;

            fn try_from(wire: $wire) -> Result<Self, Self::Error> {
                match wire {
                    <$wire>::Unspecified => Err(crate::error::DecodeError::new($name, "", "is unspecified")),
                    $(<$wire>::$member => Ok(Self::$member),)+
                }
            }
        })+
    };
}

mod action;
mod agent;
mod approval;
mod command;
mod fleet;
mod judgement;
mod lease;
mod manifest;
mod notice;
mod plan;
mod policy;
mod probe;
mod reply;
mod resource;
mod run;
mod survey;
mod traffic;
mod work;

pub use agent::call_ended;
pub use command::log_command;
pub use lease::{ack as lease_ack, standing as lease_standing};
