//! How mesh.v1 messages stand inside raft-log's records.
//!
//! raft-log checks a checksum at the end of each record, but finds that end by the lengths inside; and it takes a
//! record that runs past the end of the file for one that a crash cut short. A damaged length in an acknowledged
//! record would so be forgiven as a torn write. Hence the frame: a mark of the kind, and the length twice, so that
//! damage is told from truncation before a length is believed.

use std::io::{self, Read, Write};

use bytes::Bytes;
use mesh_proto::v1;
use prost::Message;
use raft_log::codeq::{Decode, Encode};

use super::super::position::{Ballot, LogPosition};

/// Larger than any entry that `propose` lets in, small enough to allocate on a damaged file's word.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

const MARK_POSITION: u8 = 0xA1;
const MARK_BALLOT: u8 = 0xB2;
const MARK_ENTRY: u8 = 0xC3;
const MARK_NOTHING: u8 = 0xD4;

/// One encoded `mesh.v1.RaftEntry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryBytes(pub Bytes);

/// raft-log lets its user keep something beside the log; the mesh does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoUserData;

fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn write_frame(mut w: impl Write, mark: u8, bytes: &[u8]) -> io::Result<usize> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(invalid(format!("{} bytes do not fit in a frame", bytes.len())));
    }
    let length = u32::try_from(bytes.len()).map_err(invalid)?;
    w.write_all(&[mark])?;
    w.write_all(&length.to_be_bytes())?;
    w.write_all(&(!length).to_be_bytes())?;
    w.write_all(bytes)?;
    Ok(1 + 4 + 4 + bytes.len())
}

fn read_frame(mut r: impl Read, mark: u8) -> io::Result<Vec<u8>> {
    let (mut found, mut length, mut inverse) = ([0; 1], [0; 4], [0; 4]);
    r.read_exact(&mut found)?;
    if found != [mark] {
        return Err(invalid(format!("frame mark {found:x?} where {mark:x} belongs")));
    }
    r.read_exact(&mut length)?;
    r.read_exact(&mut inverse)?;
    let length = u32::from_be_bytes(length);
    if length != !u32::from_be_bytes(inverse) {
        return Err(invalid("the two lengths of a frame differ"));
    }
    let length = usize::try_from(length).map_err(invalid)?;
    if length > FRAME_BYTES_MAX {
        return Err(invalid(format!("a frame of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    r.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Encode for LogPosition {
    fn encode<W: Write>(&self, w: W) -> io::Result<usize> {
        write_frame(w, MARK_POSITION, &v1::RaftLogId::from(*self).encode_to_vec())
    }
}

impl Decode for LogPosition {
    fn decode<R: Read>(r: R) -> io::Result<Self> {
        let bytes = read_frame(r, MARK_POSITION)?;
        v1::RaftLogId::decode(bytes.as_slice()).map_err(invalid)?.try_into().map_err(invalid)
    }
}

impl Encode for Ballot {
    fn encode<W: Write>(&self, w: W) -> io::Result<usize> {
        write_frame(w, MARK_BALLOT, &v1::RaftVote::from(*self).encode_to_vec())
    }
}

impl Decode for Ballot {
    fn decode<R: Read>(r: R) -> io::Result<Self> {
        let bytes = read_frame(r, MARK_BALLOT)?;
        v1::RaftVote::decode(bytes.as_slice()).map_err(invalid)?.try_into().map_err(invalid)
    }
}

impl Encode for EntryBytes {
    fn encode<W: Write>(&self, w: W) -> io::Result<usize> {
        write_frame(w, MARK_ENTRY, &self.0)
    }
}

impl Decode for EntryBytes {
    fn decode<R: Read>(r: R) -> io::Result<Self> {
        Ok(Self(read_frame(r, MARK_ENTRY)?.into()))
    }
}

impl Encode for NoUserData {
    fn encode<W: Write>(&self, w: W) -> io::Result<usize> {
        write_frame(w, MARK_NOTHING, &[])
    }
}

impl Decode for NoUserData {
    fn decode<R: Read>(r: R) -> io::Result<Self> {
        read_frame(r, MARK_NOTHING).map(|_| Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_position_and_of_a_vote_stay_as_they_are() {
        let mut bytes = Vec::new();
        LogPosition { term: 2, node: 3, index: 300 }.encode(&mut bytes).expect("memory takes it");
        assert_eq!(bytes, [0xA1, 0, 0, 0, 9, 0xFF, 0xFF, 0xFF, 0xF6, 10, 4, 8, 2, 16, 3, 16, 0xAC, 2]);
        let mut bytes = Vec::new();
        Ballot { term: 5, node: 1, committed: true }.encode(&mut bytes).expect("memory takes it");
        assert_eq!(bytes, [0xB2, 0, 0, 0, 8, 0xFF, 0xFF, 0xFF, 0xF7, 10, 4, 8, 5, 16, 1, 16, 1]);
    }

    #[test]
    fn a_damaged_length_is_damage_and_not_a_truncation() {
        let mut bytes = Vec::new();
        EntryBytes(Bytes::from_static(b"entry")).encode(&mut bytes).expect("memory takes it");
        for at in 0..9 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            let error = EntryBytes::decode(damaged.as_slice()).expect_err("damage must be found");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {at}");
        }
    }

    #[test]
    fn a_frame_cut_short_is_a_truncation() {
        let mut bytes = Vec::new();
        EntryBytes(Bytes::from_static(b"entry")).encode(&mut bytes).expect("memory takes it");
        for length in 0..bytes.len() {
            let error = EntryBytes::decode(bytes.get(..length).expect("shorter")).expect_err("it is cut");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length} bytes");
        }
    }
}
