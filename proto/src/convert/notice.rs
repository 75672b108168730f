//! What was decided automatically, and who was told.

use mesh_core::ids::IntentSeq;
use mesh_core::notice::{About, AutomaticNote, Telling};
use mesh_core::time::Timestamp;

use crate::DecodeError;
use crate::bounds::COMPOSED_BYTES_MAX;
use crate::fields::{Decoded, Fields, by_name, timestamp};
use crate::v1::{self, notice_telling::Telling as On};

by_value!(AutomaticNote => v1::AutomaticNote, Telling => v1::NoticeTelling);

impl From<&AutomaticNote> for v1::AutomaticNote {
    fn from(note: &AutomaticNote) -> Self {
        let AutomaticNote { at, to, text, about, told } = note;
        let about = match about {
            About::ShouldMove => v1::NoteAbout::Unspecified,
            About::Blocked => v1::NoteAbout::Blocked,
            About::Began => v1::NoteAbout::Began,
        };
        Self {
            at: Timestamp::as_millis(*at),
            to: to.to_string(),
            text: text.clone(),
            about: about.into(),
            told: by_name(told, Into::into),
        }
    }
}

impl TryFrom<v1::AutomaticNote> for AutomaticNote {
    type Error = DecodeError;

    fn try_from(wire: v1::AutomaticNote) -> Result<Self, DecodeError> {
        const F: Fields = Fields("AutomaticNote");
        let v1::AutomaticNote { at, to, text, about, told } = wire;
        Ok(Self {
            at: timestamp(at),
            to: F.name("to", to)?,
            text: F.text_max("text", text, COMPOSED_BYTES_MAX)?,
            about: read_about(F, about)?,
            told: F.map("told", told, |path, telling| F.nested(path, telling))?,
        })
    }
}

fn read_about(fields: Fields, about: i32) -> Decoded<About> {
    match v1::NoteAbout::try_from(about) {
        Ok(v1::NoteAbout::Unspecified) => Ok(About::ShouldMove),
        Ok(v1::NoteAbout::Blocked) => Ok(About::Blocked),
        Ok(v1::NoteAbout::Began) => Ok(About::Began),
        Err(_) => Err(fields.refuse("about", format!("unknown: {about}"))),
    }
}

impl From<&Telling> for v1::NoticeTelling {
    fn from(telling: &Telling) -> Self {
        let telling = match telling.clone() {
            Telling::Due => On::Due(v1::Nothing {}),
            Telling::Asked { agent, seq, topic, at } => {
                On::Asked(v1::NoticeAsked { agent: agent.into(), seq: seq.0, topic, at: at.as_millis() })
            }
            Telling::Published { agent, topic } => On::Published(v1::NoticePublished { agent: agent.into(), topic }),
            Telling::Failed { reason } => On::Failed(reason),
        };
        Self { telling: Some(telling) }
    }
}

impl TryFrom<v1::NoticeTelling> for Telling {
    type Error = DecodeError;

    fn try_from(wire: v1::NoticeTelling) -> Result<Self, DecodeError> {
        const F: Fields = Fields("NoticeTelling");
        Ok(match F.required("telling", wire.telling)? {
            On::Due(v1::Nothing {}) => Self::Due,
            On::Asked(v1::NoticeAsked { agent, seq, topic, at }) => Self::Asked {
                agent: F.name("asked.agent", agent)?,
                seq: IntentSeq(seq),
                topic: F.text("asked.topic", topic)?,
                at: timestamp(at),
            },
            On::Published(v1::NoticePublished { agent, topic }) => {
                Self::Published { agent: F.name("published.agent", agent)?, topic: F.text("published.topic", topic)? }
            }
            On::Failed(reason) => Self::Failed { reason: F.text("failed", reason)? },
        })
    }
}
