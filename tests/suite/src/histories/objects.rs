//! The objects as the mesh keeps them, and the values in them.

use mesh_history::Outcome;
use mesh_proto::v1;

/// The numbered manifest of a service. The number stands in what is stored, and in the text that is kept beside it.
pub fn manifest(service: &str, value: u64) -> (v1::Manifest, String) {
    let text = format!(
        "apiVersion: mesh/v1\nservice: {service}\nwriter: multi\nregions: {{ us-east-1: primary, us-west-2: standby }}\n\
         objectives: {{ rto: 2m, rpo: 0s }}\ntraffic:\n  - name: www\n    zone-id: Z0123456789WEBEXAMPLE\n    \
         record: {service}.example.com\n    active:\n      us-east-1: [{{ type: CNAME, ttl: 60s, values: [v{value}.example.net] }}]\n      \
         us-west-2: [{{ type: CNAME, ttl: 60s, values: [b.example.net] }}]\n# {value}\n"
    );
    let parsed = mesh_manifest::parse(&text, "history.yaml").unwrap_or_else(|found| panic!("{found:?}"));
    ((&parsed).into(), text)
}

pub fn manifest_of(service: &str) -> String {
    format!("{service}/manifest")
}

pub fn freeze_of(service: &str) -> String {
    format!("{service}/freeze")
}

pub fn value_in(text: &str) -> Option<u64> {
    text.trim_end().rsplit_once("# ")?.1.parse().ok()
}

pub fn reason(value: u64) -> String {
    format!("history # {value}")
}

/// What a reading shows of the manifest and of the freeze, or what is wrong with it.
pub fn shown(service: &str, entity: Option<&v1::ServiceEntity>) -> Result<[(String, Outcome); 2], String> {
    let Some(entity) = entity else {
        let nothing = Outcome::Found { version: 0, value: None };
        return Ok([(manifest_of(service), nothing), (freeze_of(service), nothing)]);
    };
    let value =
        value_in(&entity.source).ok_or_else(|| format!("{service} has no text of ours: {:?}", entity.source))?;
    if entity.manifest.as_ref() != Some(&manifest(service, value).0) {
        return Err(format!("{service} has the text of {value}, and not its manifest: {:?}", entity.manifest));
    }
    let frozen = entity.freeze.as_ref().map(|freeze| value_in(&freeze.reason).ok_or_else(|| freeze.reason.clone()));
    let frozen = frozen.transpose().map_err(|reason| format!("{service} is frozen for no reason of ours: {reason}"))?;
    let stored = Outcome::Found { version: entity.version, value: Some(value) };
    Ok([(manifest_of(service), stored), (freeze_of(service), Outcome::Found { version: 0, value: frozen })])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_from_what_was_stored() {
        let (stored, source) = manifest("orders", 17);
        let freeze = v1::Freeze { reason: reason(18), ..Default::default() };
        let whole = v1::ServiceEntity {
            manifest: Some(stored),
            source,
            version: 4,
            freeze: Some(freeze),
            ..Default::default()
        };
        let [(_, manifest_shown), (_, freeze_shown)] = shown("orders", Some(&whole)).expect("sound");
        assert_eq!(manifest_shown, Outcome::Found { version: 4, value: Some(17) });
        assert_eq!(freeze_shown, Outcome::Found { version: 0, value: Some(18) });
        let torn = v1::ServiceEntity { source: manifest("orders", 16).1, ..whole };
        assert!(shown("orders", Some(&torn)).is_err(), "half of one and half of another");
    }
}
