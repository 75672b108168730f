//! Reading a snapshot file, checksum first.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};

use prost::Message;
use sha2::{Digest, Sha256};

use super::super::StoreError;
use super::CHECKSUM_BYTES;

/// Of one record: an entity with its whole history, or an audit record with its command. The largest run that the core
/// can hold (64 steps in two directions, 64 intents each, with documents and details of 72 KiB) must be readable. The
/// checksum comes first, so nothing is allocated on a damaged file's word.
const RECORD_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const BLOCK_BYTES: usize = 256 * 1024;

pub struct Reader {
    path: PathBuf,
    /// Everything before the checksum.
    body: Take<BufReader<File>>,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::io("read the snapshot", path, source);
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let corrupt = |reason: &str| StoreError::SnapshotCorrupt { path: path.to_owned(), reason: reason.to_owned() };
        let body_length = length.checked_sub(CHECKSUM_BYTES).ok_or_else(|| corrupt("it is cut short"))?;
        let mut file = BufReader::with_capacity(BLOCK_BYTES, file);
        if !checksum_is_right(&mut file, body_length).map_err(failed)? {
            return Err(corrupt("its checksum does not match its content"));
        }
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), body: file.take(body_length) })
    }

    pub fn message<M: Message + Default>(&mut self) -> Result<M, StoreError> {
        let length = self.length()?;
        if length > RECORD_BYTES_MAX || length > self.body.limit() {
            return Err(self.corrupt(format!("a record of {length} bytes")));
        }
        let mut bytes = Vec::new();
        let read = self.body.by_ref().take(length).read_to_end(&mut bytes);
        read.map_err(|source| StoreError::io("read the snapshot", &self.path, source))?;
        M::decode(bytes.as_slice()).map_err(|error| self.corrupt(error.to_string()))
    }

    pub fn has_more(&mut self) -> Result<bool, StoreError> {
        let rest = self.body.fill_buf().map_err(|source| StoreError::io("read the snapshot", &self.path, source))?;
        Ok(!rest.is_empty())
    }

    fn length(&mut self) -> Result<u64, StoreError> {
        let mut length = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            let read = self.body.read_exact(&mut byte);
            read.map_err(|_| self.corrupt("it ends in the middle of a record".to_owned()))?;
            let [byte] = byte;
            length |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(length);
            }
        }
        Err(self.corrupt("a record's length does not end".to_owned()))
    }

    fn corrupt(&self, reason: String) -> StoreError {
        StoreError::SnapshotCorrupt { path: self.path.clone(), reason }
    }
}

/// The first message alone. Nothing vouches for it but what it holds itself.
pub fn read_first<M: Message + Default>(path: &Path) -> Result<M, StoreError> {
    let failed = |source| StoreError::io("read", path, source);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len().saturating_sub(CHECKSUM_BYTES);
    let mut reader = Reader { path: path.to_owned(), body: BufReader::new(file).take(length) };
    reader.message()
}

fn checksum_is_right(file: &mut impl Read, body_length: u64) -> io::Result<bool> {
    let mut hash = Sha256::new();
    let mut body = file.take(body_length);
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = body.read(&mut block)?;
        if read == 0 {
            break;
        }
        hash.update(block.get(..read).unwrap_or_default());
    }
    let mut stored = [0; 32];
    file.read_exact(&mut stored)?;
    let computed: [u8; 32] = hash.finalize().into();
    Ok(stored == computed)
}
