//! SNS: are the topics of the notices there?

use mesh_core::survey::{Examination, Finding};

use super::{Scene, bounded, failed};
use crate::aws::lists;

pub(super) async fn look(scene: &Scene<'_>, examination: &Examination) -> Vec<Finding> {
    let mut findings = Vec::new();
    for notice in &examination.manifest.notices {
        let Some(arn) = notice.topics.get(scene.region) else { continue };
        let subject = format!("{} sns {}", scene.region, arn.rsplit(':').next().unwrap_or(arn));
        match bounded(&subject, lists::sns::topic_exists(&scene.aws, arn)).await {
            Ok(Ok(())) => findings.push(of_kind(&subject, arn)),
            Ok(Err(error)) => findings.push(failed(&subject, error)),
            Err(finding) => findings.push(finding),
        }
    }
    findings
}

fn of_kind(subject: &str, arn: &str) -> Finding {
    if arn.ends_with(".fifo") {
        return Finding::ok(subject, "is there, and takes each notice once");
    }
    Finding::warning(
        subject,
        "is a standard topic: a notice whose reply is lost cannot be looked up, and its step is held",
        "use a FIFO topic (a name that ends in .fifo)",
    )
}

#[cfg(test)]
mod tests {
    use mesh_core::survey::Level;

    use super::*;

    #[test]
    fn a_standard_topic_is_a_warning() {
        assert_eq!(of_kind("x", "arn:aws:sns:us-east-1:1:a.fifo").level, Level::Ok);
        assert_eq!(of_kind("x", "arn:aws:sns:us-east-1:1:a").level, Level::Warning);
    }
}
