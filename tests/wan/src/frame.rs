//! Packets between a helper and the router: two bytes of length, most significant first, then the packet. An empty one
//! is the helper's word that its device is up.

use std::io::{self, Read, Write};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest packet that two bytes can tell.
pub const BYTES_MAX: usize = u16::MAX as usize;

/// Length and packet in one piece, so that they are written at once.
pub fn sealed(packet: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(packet);
    Ok(frame)
}

pub fn write(output: &mut impl Write, packet: &[u8]) -> io::Result<()> {
    output.write_all(&sealed(packet)?)?;
    output.flush()
}

/// None at the end.
pub fn read(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    if let Err(error) = input.read_exact(&mut length) {
        return end(error);
    }
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    input.read_exact(&mut packet)?;
    Ok(Some(packet))
}

/// None at the end.
pub async fn receive(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    if let Err(error) = input.read_exact(&mut length).await {
        return end(error);
    }
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    input.read_exact(&mut packet).await?;
    Ok(Some(packet))
}

fn end<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Ok(None),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_then_nothing() {
        let mut wire = Vec::new();
        for packet in [&b"one"[..], b"", b"three"] {
            write(&mut wire, packet).expect("a short packet");
        }
        let mut input = wire.as_slice();
        for packet in [&b"one"[..], b"", b"three"] {
            assert_eq!(read(&mut input).expect("a whole frame").as_deref(), Some(packet));
        }
        assert_eq!(read(&mut input).expect("an end between frames"), None);
    }

    #[test]
    fn half_a_packet_is_an_error() {
        let frame = sealed(b"whole").expect("a short packet");
        let mut input = frame.get(..4).expect("it is longer");
        assert!(read(&mut input).is_err());
    }

    #[test]
    fn a_packet_too_long_to_tell_is_refused() {
        assert!(sealed(&vec![0; BYTES_MAX + 1]).is_err());
    }
}
