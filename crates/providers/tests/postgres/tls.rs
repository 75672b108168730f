//! A server's certificate is verified, by the manifest's authorities alone.

use crate::rig::Rig;
use mesh_core::manifest::PostgresInstance;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_named_authority_is_accepted_and_no_other() {
    let Some(rig) = Rig::start().await else { return };
    let server = &rig.pair.primary;
    let mine = rcgen::generate_simple_self_signed(vec![server.host.to_string()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(vec![server.host.to_string()]).expect("a certificate");
    fs::write(server.data.join("server.crt"), mine.cert.pem()).expect("written");
    let key = server.data.join("server.key");
    fs::write(&key, mine.signing_key.serialize_pem()).expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("private");
    let owner = fs::metadata(&server.data).expect("it is there");
    let (user, group) = (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
    for file in ["server.crt", "server.key"] {
        chown(server.data.join(file), Some(user), Some(group)).expect("handed over");
    }
    server.configure("ssl = on").expect("configured");
    server.sql("SELECT pg_reload_conf()").await.expect("reloaded");
    fs::write(rig.credentials.join("mine.pem"), mine.cert.pem()).expect("written");
    fs::write(rig.credentials.join("other.pem"), other.cert.pem()).expect("written");
    let with = |file: &str| PostgresInstance { ca_file: Some(file.to_owned()), ..rig.east.clone() };
    let mut seen = rig.providers.postgres_look(&with("mine.pem"), Duration::from_secs(5)).await;
    for _ in 0..200 {
        if seen.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        seen = rig.providers.postgres_look(&with("mine.pem"), Duration::from_secs(5)).await;
    }
    assert!(seen.is_ok(), "{seen:?}");
    let encrypted = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                     WHERE s.ssl AND a.application_name = 'mesh-look'";
    assert_eq!(server.value(encrypted).await.expect("it answers"), "1");
    let refused = rig.providers.postgres_look(&with("other.pem"), Duration::from_secs(5)).await;
    assert!(refused.is_err(), "{refused:?}");
    let missing = rig.providers.postgres_look(&with("../mine.pem"), Duration::from_secs(5)).await;
    assert!(missing.expect_err("no path").to_string().contains("no file name"));
}
