//! The network does what it was told, to packets of real sockets in real namespaces.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a helper that fails fails its test")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use mesh_wan::{Namespace, Site, Wan, skip_reason};

const A: &str = "a";
const B: &str = "b";
const C: &str = "c";
const PORT: u16 = 7000;
/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);
/// A datagram that has not come by then does not come.
const SILENCE: Duration = Duration::from_millis(600);

fn address(site: &str) -> SocketAddr {
    let nth = [A, B, C].iter().position(|one| *one == site).expect("a site of these tests");
    SocketAddr::from((Ipv4Addr::new(10, 77, u8::try_from(nth).expect("three sites"), 1), PORT))
}

/// Three sites of one party each, or nothing where that is not permitted.
fn three() -> Option<Wan> {
    if let Some(reason) = skip_reason() {
        eprintln!("SKIPPED: a network needs namespaces and TUN devices: {reason}");
        return None;
    }
    let site = |name: &str| {
        let SocketAddr::V4(v4) = address(name) else { panic!("an IPv4 address") };
        Site { name: name.to_owned(), parties: vec![(name.to_owned(), *v4.ip())] }
    };
    Some(Wan::lay(&[site(A), site(B), site(C)], 11).unwrap_or_else(|why| panic!("{why}")))
}

/// A socket keeps the namespace in which it was made.
fn inside<T>(namespace: &Namespace, make: impl FnOnce() -> std::io::Result<T>) -> T {
    let entered = namespace.enter().expect("a namespace that lives");
    let made = make().expect("a socket");
    drop(entered);
    made
}

fn datagrams(wan: &Wan, site: &str) -> UdpSocket {
    let socket = inside(wan.namespace(site), || UdpSocket::bind(address(site)));
    socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
    socket
}

fn listener(wan: &Wan, site: &str) -> TcpListener {
    inside(wan.namespace(site), || TcpListener::bind(address(site)))
}

fn connection(wan: &Wan, from: &str, to: &str) -> TcpStream {
    let stream = inside(wan.namespace(from), || TcpStream::connect(address(to)));
    stream.set_nodelay(true).expect("a socket option");
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    stream
}

/// Numbers of the datagrams that arrive until silence.
fn numbers(socket: &UdpSocket) -> Vec<u64> {
    let mut heard = Vec::new();
    let mut buffer = [0; 8];
    while socket.recv_from(&mut buffer).is_ok_and(|(length, _)| length == buffer.len()) {
        heard.push(u64::from_be_bytes(buffer));
    }
    heard
}

fn send_numbers(socket: &UdpSocket, to: &str, count: u64) {
    for nth in 0..count {
        socket.send_to(&nth.to_be_bytes(), address(to)).expect("sending asks nobody");
    }
}

/// Sends `text` and waits for its echo.
fn echoed(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).expect("an open connection");
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).expect("an echo");
    assert_eq!(back, text);
}

fn echo(listener: TcpListener) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.set_nodelay(true);
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_round_trip_takes_at_least_what_was_set_and_nothing_is_lost_or_overtaken() {
    let Some(wan) = three() else { return };
    let pairs = [(A, B, 60), (A, C, 100), (B, C, 150)];
    for (one, other, ms) in pairs {
        wan.round_trip(one, other, Duration::from_millis(ms));
    }
    for (one, other, ms) in pairs {
        let server = echo(listener(&wan, other));
        let mut stream = connection(&wan, one, other);
        let began = Instant::now();
        for nth in 0..5u64 {
            echoed(&mut stream, &nth.to_be_bytes());
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(5 * ms), "five round trips of {ms} ms took {took:?}");
        assert!(took < LONG, "{took:?}");
        drop(stream);
        server.join().expect("the server ends with its connection");
        for (from, to) in [(one, other), (other, one)] {
            let counters = wan.counters(from, to);
            assert!(counters.delayed >= 5, "{from} to {to}: {counters:?}");
            assert_eq!((counters.lost, counters.cut, counters.overflowed), (0, 0, 0), "{from} to {to}");
        }
    }
}

#[test]
fn jitter_delays_and_never_reorders() {
    let Some(wan) = three() else { return };
    wan.set(A, B, |link| (link.delay, link.jitter) = (Duration::from_millis(20), Duration::from_millis(15)));
    let (from, to) = (datagrams(&wan, A), datagrams(&wan, B));
    send_numbers(&from, B, 200);
    assert_eq!(numbers(&to), (0..200).collect::<Vec<_>>());
    assert_eq!(wan.counters(A, B).delayed, 200);
}

#[test]
fn what_is_lost_is_counted_and_the_rest_arrives() {
    let Some(wan) = three() else { return };
    wan.set(A, B, |link| link.loss_permille = 300);
    let (from, to) = (datagrams(&wan, A), datagrams(&wan, B));
    send_numbers(&from, B, 200);
    let heard = numbers(&to).len() as u64;
    let counters = wan.counters(A, B);
    assert_eq!((counters.forwarded, counters.lost), (heard, 200 - heard));
    assert!((20..120).contains(&counters.lost), "{counters:?}");
}

#[test]
fn a_cut_has_one_direction_and_touches_no_other_link() {
    let Some(wan) = three() else { return };
    let (a, b, c) = (datagrams(&wan, A), datagrams(&wan, B), datagrams(&wan, C));
    wan.cut(A, B);
    for socket in [&a, &c] {
        send_numbers(socket, B, 3);
    }
    send_numbers(&b, A, 5);
    assert_eq!(numbers(&a).len(), 5, "the other direction stays");
    assert_eq!(numbers(&b).len(), 3, "only what the third party sent");
    assert_eq!(wan.counters(A, B).cut, 3);
    assert_eq!((wan.counters(B, A).cut, wan.counters(C, B).cut), (0, 0));
    wan.heal();
    send_numbers(&a, B, 2);
    assert_eq!(numbers(&b).len(), 2);
}

#[test]
fn a_connection_outlives_two_seconds_without_a_packet() {
    let Some(wan) = three() else { return };
    wan.round_trip(A, B, Duration::from_millis(60));
    let _server = echo(listener(&wan, B));
    let mut stream = connection(&wan, A, B);
    echoed(&mut stream, b"before");
    for (from, to) in [(A, B), (B, A)] {
        wan.set(from, to, |link| link.loss_permille = 1000);
    }
    stream.write_all(b"meanwhile").expect("it waits in the sender");
    std::thread::sleep(Duration::from_secs(2));
    wan.heal();
    let mut back = [0; 9];
    stream.read_exact(&mut back).expect("sent again once the network is back");
    assert_eq!(&back, b"meanwhile");
    assert!(wan.counters(A, B).lost > 0, "nothing was lost: the loss showed nothing");
}

#[test]
fn bulk_data_arrives_whole_over_a_slow_and_lossy_link() {
    let Some(wan) = three() else { return };
    wan.round_trip(A, B, Duration::from_millis(30));
    wan.set(A, B, |link| link.loss_permille = 10);
    let listener = listener(&wan, B);
    let sent: Vec<u8> = (0..1_000_000u32).map(|nth| nth.to_le_bytes()[0] ^ nth.to_le_bytes()[1]).collect();
    let receiver = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("an orderly end");
        heard
    });
    let mut stream = connection(&wan, A, B);
    stream.write_all(&sent).expect("an open connection");
    drop(stream);
    assert!(receiver.join().expect("a receiver") == sent, "the bytes differ");
    assert!(wan.counters(A, B).lost > 0, "nothing was lost: the loss showed nothing");
}

#[test]
fn a_program_runs_in_its_site_and_a_site_ends_with_the_network() {
    let Some(wan) = three() else { return };
    let shown = wan.namespace(B).command("ip").args(["-o", "address", "show", "dev", "wan"]).output().expect("ip");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&address(B).ip().to_string()), "{shown}");
    let link = wan.namespace(A).link().to_owned();
    assert!(link.exists());
    drop(wan);
    assert!(!Path::new(&link).exists(), "its helper has ended");
}

#[test]
fn nothing_is_left_when_the_test_s_process_is_killed() {
    if skip_reason().is_some() {
        eprintln!("SKIPPED: a network needs namespaces and TUN devices");
        return;
    }
    // A helper whose standard input closes, as it does when whoever holds its other end is killed.
    let mut helper = std::process::Command::new("unshare")
        .args(["--net", "--"])
        .arg(mesh_wan::port_program())
        .arg("10.77.0.1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("unshare");
    let mut up = helper.stdout.take().expect("a pipe");
    assert_eq!(mesh_wan::frame::read(&mut up).expect("a frame"), Some(Vec::new()));
    drop(helper.stdin.take());
    assert!(helper.wait().expect("a child").success());
}

#[test]
fn parties_of_one_site_are_cut_one_by_one() {
    if let Some(reason) = skip_reason() {
        eprintln!("SKIPPED: a network needs namespaces and TUN devices: {reason}");
        return;
    }
    let ip = |site, host| Ipv4Addr::new(10, 77, site, host);
    let party = |name: &str, ip| (name.to_owned(), ip);
    let sites = [
        Site { name: A.to_owned(), parties: vec![party(A, ip(0, 1))] },
        Site { name: "two".to_owned(), parties: vec![party("first", ip(1, 1)), party("second", ip(1, 2))] },
    ];
    let wan = Wan::lay(&sites, 1).unwrap_or_else(|why| panic!("{why}"));
    wan.part(A, "second");
    let a = datagrams(&wan, A);
    let [first, second] = [1, 2].map(|host| inside(wan.namespace("two"), || UdpSocket::bind((ip(1, host), PORT))));
    for host in [1, 2] {
        a.send_to(&[0; 8], (ip(1, host), PORT)).expect("sending asks nobody");
    }
    for socket in [&first, &second] {
        socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
    }
    assert_eq!((numbers(&first).len(), numbers(&second).len()), (1, 0));
    second.send_to(&[0; 8], address(A)).expect("sending asks nobody");
    assert_eq!(numbers(&a).len(), 0);
    assert_eq!((wan.counters(A, "second").cut, wan.counters("second", A).cut), (1, 1));
}
