//! Why a connection to a coordinator did not come about, and what a person can do about it.

use std::error::Error;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};
use tonic::Status;

use crate::identity::IdentityError;

/// Carried as the source of the `UNAVAILABLE` status of a call; [`connect_error`] finds it there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    #[error("{address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("{address}: no connection within {} ms", after.as_millis())]
    Timeout { address: String, after: Duration },
    #[error("our certificate expired {} ago", ago(*since))]
    OwnCertificateExpired { since: Duration },
    #[error("{address}: certificate expired {} ago", ago(*since))]
    ServerCertificateExpired { address: String, since: Duration },
    #[error("{address}: certificate is not valid yet, for another {}", ago(*until))]
    ServerCertificateNotYetValid { address: String, until: Duration },
    #[error("{address}: certificate is signed by an authority that we do not trust")]
    UnknownAuthority { address: String },
    #[error("{address}: {reason}")]
    ServerIdentity { address: String, reason: IdentityError },
    #[error("{address}: the server refused our certificate: {reason}")]
    Refused { address: String, reason: String },
    #[error("{address}: TLS: {reason}")]
    Tls { address: String, reason: String },
}

impl ConnectError {
    /// What to do about it, in one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => {
                "check that the coordinator runs and that the address and the network path to it are right"
            }
            Self::OwnCertificateExpired { .. } => "issue a new certificate with `meshctl pki issue`",
            Self::ServerCertificateExpired { .. } => {
                "check the clocks of both machines, then issue the coordinator a certificate with `meshctl pki issue`"
            }
            Self::ServerCertificateNotYetValid { .. } => "check the clocks of both machines",
            Self::UnknownAuthority { .. } => {
                "check that `authorities` in [tls] is the CA file of this mesh and that the address belongs to it"
            }
            Self::ServerIdentity { .. } => "check that the address belongs to a coordinator of this mesh",
            Self::Refused { .. } => {
                "check that the certificate was issued by this mesh's CA and has not expired by the server's clock"
            }
            Self::Tls { .. } => "check that the address is a coordinator's gRPC port",
        }
    }

    /// Will it stay so, however long one waits?
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::ServerCertificateNotYetValid { .. } => false,
            Self::OwnCertificateExpired { .. }
            | Self::ServerCertificateExpired { .. }
            | Self::UnknownAuthority { .. }
            | Self::ServerIdentity { .. }
            | Self::Refused { .. }
            | Self::Tls { .. } => true,
        }
    }

    pub(crate) fn from_io(address: &str, err: &std::io::Error) -> Self {
        match err.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => Self::from_tls(address, tls),
            None => Self::Unreachable { address: address.to_owned(), reason: err.to_string() },
        }
    }

    pub(crate) fn from_tls(address: &str, err: &rustls::Error) -> Self {
        let address = address.to_owned();
        match err {
            rustls::Error::InvalidCertificate(certificate) => Self::from_certificate(address, certificate),
            rustls::Error::AlertReceived(alert) => match refusal_of(*alert) {
                Some(reason) => Self::Refused { address, reason: reason.to_owned() },
                None => Self::Tls { address, reason: err.to_string() },
            },
            other => Self::Tls { address, reason: other.to_string() },
        }
    }

    fn from_certificate(address: String, err: &CertificateError) -> Self {
        match err {
            CertificateError::ExpiredContext { time, not_after } => {
                let since = Duration::from_secs(time.as_secs().saturating_sub(not_after.as_secs()));
                Self::ServerCertificateExpired { address, since }
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                let until = Duration::from_secs(not_before.as_secs().saturating_sub(time.as_secs()));
                Self::ServerCertificateNotYetValid { address, until }
            }
            // An authority of the same name with another key signs what ours did not.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority { address },
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Tls { address, reason: "the certificate is not a coordinator's".to_owned() }
            }
            CertificateError::Other(other) => match other.0.downcast_ref::<IdentityError>() {
                Some(reason) => Self::ServerIdentity { address, reason: reason.clone() },
                None => Self::Tls { address, reason: other.to_string() },
            },
            other => Self::Tls { address, reason: other.to_string() },
        }
    }
}

fn refusal_of(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::CertificateExpired => "it has expired",
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "it is signed by an authority that the server does not trust"
        }
        AlertDescription::CertificateRequired => "we sent none",
        AlertDescription::CertificateUnknown | AlertDescription::AccessDenied => {
            "it holds no identity of the server's mesh"
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked => "it is not valid",
        _ => return None,
    })
}

/// The cause of a failed call, when it is that no connection came about.
pub fn connect_error(status: &Status) -> Option<&ConnectError> {
    let mut source = status.source();
    while let Some(err) = source {
        if let Some(found) = err.downcast_ref::<ConnectError>() {
            return Some(found);
        }
        if let Some(io) = err.downcast_ref::<std::io::Error>() {
            let inner = io.get_ref().map(|inner| inner as &(dyn Error + 'static));
            if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<ConnectError>()) {
                return Some(found);
            }
        }
        source = err.source();
    }
    None
}

/// `3 minutes`, `1 hour`: the largest unit that fits.
pub(crate) fn ago(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_told_in_the_largest_unit_that_fits() {
        let told = |seconds| ago(Duration::from_secs(seconds));
        assert_eq!(told(1), "1 second");
        assert_eq!(told(59), "59 seconds");
        assert_eq!(told(190), "3 minutes");
        assert_eq!(told(3600), "1 hour");
        assert_eq!(told(49 * 3600), "2 days");
    }
}
