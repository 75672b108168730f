//! Holds the TUN device of one site: what the site sends goes to standard output, what comes from standard input
//! arrives at the site. Runs in the site's own network namespace and ends with its standard input.

use std::io::{self, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use mesh_wan::{MTU, frame};
use tun_rs::{DeviceBuilder, SyncDevice};

const DEVICE: &str = "wan";
const USAGE: &str = "usage: mesh-wan-port --check | ADDRESS...";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mesh-wan-port: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == ["--check"] {
        return open(&[Ipv4Addr::new(10, 77, 0, 1)]).map(drop);
    }
    let addresses: Result<Vec<Ipv4Addr>, _> = args.iter().map(|arg| arg.parse()).collect();
    let addresses = addresses.ok().filter(|all| !all.is_empty()).ok_or_else(|| io::Error::other(USAGE))?;
    let device = Arc::new(open(&addresses)?);
    let mut output = io::stdout().lock();
    frame::write(&mut output, &[])?;
    let arriving = Arc::clone(&device);
    std::thread::spawn(move || {
        let code = match arrive(&arriving) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("mesh-wan-port: {error}");
                1
            }
        };
        std::process::exit(code)
    });
    let mut packet = vec![0; frame::BYTES_MAX];
    loop {
        let length = device.recv(&mut packet)?;
        frame::write(&mut output, packet.get(..length).unwrap_or_default())?;
    }
}

fn arrive(device: &SyncDevice) -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    while let Some(packet) = frame::read(&mut input)? {
        // The kernel refuses what is no packet; that is the router's fault and nobody else's.
        device.send(&packet)?;
    }
    Ok(())
}

/// A device with these addresses, the way out of a namespace that has no other.
fn open(addresses: &[Ipv4Addr]) -> io::Result<SyncDevice> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("/dev/net/tun: {error}"));
    let device = DeviceBuilder::new().name(DEVICE).mtu(MTU).build_sync().map_err(named)?;
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "set", DEVICE, "up"])?;
    for address in addresses {
        ip(&["address", "add", &format!("{address}/32"), "dev", DEVICE])?;
    }
    let first = addresses.first().map(ToString::to_string).unwrap_or_default();
    ip(&["route", "add", "default", "dev", DEVICE, "src", &first])?;
    Ok(device)
}

fn ip(args: &[&str]) -> io::Result<()> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let done = Command::new("ip").args(args).env("PATH", path).output();
    let done = done.map_err(|error| io::Error::new(error.kind(), format!("ip (Debian: iproute2): {error}")))?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim())))
}
