//! Route 53's health checkers: they stand outside all regions and ask each endpoint over the network.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::double::Double;
use crate::route53::answer::{self, Outcome};
use crate::route53::health::{self, HealthCheck};

/// AWS: four seconds to connect, two more to answer.
const PATIENCE: Duration = Duration::from_secs(2);
const READ_MAX: u64 = 16 * 1024;
/// Of a body, a checker looks at so much.
const SEARCHED_BYTES: usize = 5120;

pub async fn run(double: Arc<Double>) {
    loop {
        let (checks, interval) = double.world(|world| {
            let all: Vec<HealthCheck> =
                world.route53.health_checks.values().filter(|one| !one.disabled).cloned().collect();
            (all, world.settings.health_check_interval_ms)
        });
        let mut round = JoinSet::new();
        for check in checks {
            let double = double.clone();
            round.spawn(async move {
                let found = timeout(PATIENCE, probe(&double, &check)).await;
                let found = found.unwrap_or_else(|_| Err("Failure: The health checker timed out.".to_owned()));
                let passed = found.is_ok();
                let what = found.unwrap_or_else(|why| why);
                double.world(|world| health::record_finding(world, &check.id, passed, what));
            });
        }
        while round.join_next().await.is_some() {}
        sleep(Duration::from_millis(interval)).await;
    }
}

async fn probe(double: &Double, check: &HealthCheck) -> Result<String, String> {
    let address = address(double, check).ok_or("Failure: DNS resolution failed.")?;
    let failed = |error: std::io::Error| format!("Failure: {error}");
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    if check.kind == "TCP" || check.kind == "HTTPS" {
        return Ok("Success: TCP connection established.".to_owned());
    }
    let host = check.host.clone().unwrap_or_else(|| address.to_string());
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Amazon-Route53-Health-Check-Service\r\nConnection: close\r\n\r\n",
        check.path
    );
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut bytes = Vec::new();
    stream.take(READ_MAX).read_to_end(&mut bytes).await.map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status: u16 = text.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("Failure: no HTTP reply.")?;
    if !(200..400).contains(&status) {
        return Err(format!("Failure: HTTP Status Code {status}"));
    }
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let searched: String = body.chars().take(SEARCHED_BYTES).collect();
    match &check.search {
        Some(wanted) if check.kind == "HTTP_STR_MATCH" && !searched.contains(wanted.as_str()) => {
            Err("Failure: the search string was not found.".to_owned())
        }
        _ => Ok(format!("Success: HTTP Status Code {status}, OK")),
    }
}

fn address(double: &Double, check: &HealthCheck) -> Option<SocketAddr> {
    if let Some(ip) = &check.ip {
        return Some(SocketAddr::new(ip.parse::<IpAddr>().ok()?, check.port));
    }
    let host = check.host.as_ref()?;
    match double.world(|world| answer::answer(world, host, "A")) {
        Outcome::Found(answers) => {
            let ip = answers.iter().find(|answer| answer.kind == "A")?.value.parse().ok()?;
            Some(SocketAddr::new(ip, check.port))
        }
        Outcome::Empty(_) | Outcome::NoSuchName(_) | Outcome::Refused => None,
    }
}
