//! One record on disk: length, checksum of the length, checksum of the body, body.
//!
//! The length has a checksum of its own, so that a damaged length is never followed into the records behind it.

/// Longest body. An offer comes in one gRPC message of at most 4 MiB, and a record adds a few bytes to it.
pub const BODY_MAX: usize = 5 * 1024 * 1024;
pub const HEADER_LEN: usize = 12;

/// What stands at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    End,
    Whole {
        body: &'a [u8],
        rest: &'a [u8],
    },
    /// Not a whole frame. It is a torn tail if no whole frame comes after it.
    Broken,
}

/// `None` if the body is longer than [`BODY_MAX`].
pub fn encode(body: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= BODY_MAX)?.to_le_bytes();
    let mut frame = Vec::with_capacity(HEADER_LEN + body.len());
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&crc32(&length).to_le_bytes());
    frame.extend_from_slice(&crc32(body).to_le_bytes());
    frame.extend_from_slice(body);
    Some(frame)
}

pub fn decode(bytes: &[u8]) -> Frame<'_> {
    if bytes.is_empty() {
        return Frame::End;
    }
    whole(bytes).map_or(Frame::Broken, |(body, rest)| Frame::Whole { body, rest })
}

/// Is there a whole frame anywhere in `bytes`? Then what stands before it was not the last thing written.
pub fn holds_a_frame(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| bytes.get(at..).and_then(whole).is_some())
}

fn whole(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (length_sum, rest) = rest.split_first_chunk::<4>()?;
    let (body_sum, rest) = rest.split_first_chunk::<4>()?;
    if crc32(length) != u32::from_le_bytes(*length_sum) {
        return None;
    }
    let (body, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (crc32(body) == u32::from_le_bytes(*body_sum)).then_some((body, rest))
}

/// CRC-32 (IEEE 802.3), reflected. Its value of four zero bytes is not zero: a hole in a file is no frame.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        let low = sum.to_le_bytes()[0] ^ byte;
        (sum >> 8) ^ TABLE.get(usize::from(low)).copied().unwrap_or_default()
    })
}

const TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut index = 0u32;
    while index < 256 {
        let mut value = index;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        // Both indices are below 256; this is evaluated when the program is compiled.
        #[allow(clippy::indexing_slicing)]
        {
            table[index as usize] = value;
        }
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_frame_reads_back_and_any_flipped_bit_breaks_it() {
        let frame = encode(b"record").expect("a short body");
        assert_eq!(decode(&frame), Frame::Whole { body: b"record", rest: b"" });
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), Frame::Broken, "bit {bit}");
        }
    }

    #[test]
    fn a_hole_of_zeros_is_no_frame() {
        assert_eq!(decode(&[0; 64]), Frame::Broken);
        assert!(!holds_a_frame(&[0; 64]));
    }

    #[test]
    fn a_body_beyond_the_bound_is_refused() {
        assert_eq!(encode(&vec![0; BODY_MAX + 1]), None);
    }
}
