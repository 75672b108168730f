//! Who sends a packet to whom.

use std::net::Ipv4Addr;

const HEADER_BYTES: usize = 20;
const SOURCE: usize = 12;
const DESTINATION: usize = 16;

/// Of an IPv4 packet; nothing else is carried.
pub fn parties(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let version = packet.first()? >> 4;
    if version != 4 || packet.len() < HEADER_BYTES {
        return None;
    }
    Some((address(packet, SOURCE)?, address(packet, DESTINATION)?))
}

fn address(packet: &[u8], at: usize) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_ipv4_headers_name_their_parties() {
        let mut packet = vec![0x45; HEADER_BYTES];
        packet.splice(12..20, [10, 77, 1, 1, 10, 77, 2, 1]);
        assert_eq!(parties(&packet), Some(([10, 77, 1, 1].into(), [10, 77, 2, 1].into())));
        assert_eq!(parties(packet.get(..19).expect("it has twenty")), None);
        assert_eq!(parties(&[]), None);
        packet.splice(0..1, [0x60]);
        assert_eq!(parties(&packet), None, "IPv6");
    }
}
