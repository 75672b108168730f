//! Damage to a file that is good: what a disk, a crash or somebody with an editor does to it.

const EDIT_BYTES: usize = 8;
/// More would leave nothing of the file.
const EDITS_MAX: usize = 8;

/// Places and lengths are taken modulo the length of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    Flip { at: usize, mask: u8 },
    Set { at: usize, to: u8 },
    Zero { at: usize, length: usize },
    Truncate { to: usize },
    Cut { at: usize, length: usize },
    Double { at: usize, length: usize },
    Swap { at: usize, other: usize, length: usize },
    Insert { at: usize, byte: u8, length: usize },
}

impl Edit {
    /// Eight bytes: kind, value, place (four), length (two).
    fn read(bytes: &[u8], file: usize) -> Option<Self> {
        let [kind, value, a, b, c, d, e, f] = *bytes.first_chunk::<EDIT_BYTES>()?;
        let place = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        let (at, length) = (place % file.max(1), usize::from(u16::from_le_bytes([e, f])));
        Some(match kind % 8 {
            0 => Self::Flip { at, mask: value },
            1 => Self::Set { at, to: value },
            2 => Self::Zero { at, length },
            3 => Self::Truncate { to: at },
            4 => Self::Cut { at, length },
            5 => Self::Double { at, length },
            6 => Self::Swap { at, other: length % file.max(1), length: usize::from(value) },
            _ => Self::Insert { at, byte: value, length: length % 64 },
        })
    }

    /// Does everything stay where it is?
    pub const fn in_place(self) -> bool {
        matches!(self, Self::Flip { .. } | Self::Set { .. } | Self::Zero { .. })
    }

    fn make(self, file: &mut Vec<u8>) {
        let end = |at: usize, length: usize, file: &[u8]| at.saturating_add(length).min(file.len());
        match self {
            Self::Flip { at, mask } => file.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= mask),
            Self::Set { at, to } => file.iter_mut().skip(at).take(1).for_each(|byte| *byte = to),
            Self::Zero { at, length } => file.iter_mut().skip(at).take(length).for_each(|byte| *byte = 0),
            Self::Truncate { to } => file.truncate(to),
            Self::Cut { at, length } => drop(file.drain(at.min(file.len())..end(at, length, file))),
            Self::Double { at, length } => {
                let (at, end) = (at.min(file.len()), end(at, length, file));
                let again = file[at..end].to_vec();
                file.splice(end..end, again);
            }
            Self::Swap { at, other, length } => {
                for nth in 0..length {
                    if at + nth < file.len() && other + nth < file.len() {
                        file.swap(at + nth, other + nth);
                    }
                }
            }
            Self::Insert { at, byte, length } => {
                let at = at.min(file.len());
                file.splice(at..at, std::iter::repeat_n(byte, length));
            }
        }
    }
}

/// The damaged file, and whether everything in it stayed where it was.
pub fn damage(good: &[u8], input: &[u8]) -> (Vec<u8>, bool) {
    let mut file = good.to_vec();
    let mut in_place = true;
    for bytes in input.chunks_exact(EDIT_BYTES).take(EDITS_MAX) {
        let Some(edit) = Edit::read(bytes, file.len()) else { continue };
        in_place &= edit.in_place();
        edit.make(&mut file);
    }
    (file, in_place)
}

/// Edits of each kind, at several places.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new()];
    for kind in 0..8u8 {
        for place in [0u32, 9, 100, 1_000, u32::MAX] {
            let [a, b, c, d] = place.to_le_bytes();
            seeds.push(vec![kind, 0x01, a, b, c, d, 32, 0]);
        }
    }
    seeds
}
