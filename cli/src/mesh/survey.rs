//! Questions about the world outside, as agents see it.

use std::time::Duration;

use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::manifest::Manifest;
use mesh_core::survey::Answer;
use mesh_proto::v1;
use mesh_runtime::client::CallLimits;
use v1::agent_survey::Answer as Said;
use v1::survey_request::About;

use super::Mesh;
use crate::failure::Failure;

/// An agent may look for 40 s, and its leader waits a little longer.
const SURVEY: CallLimits = CallLimits { per_try: Duration::from_secs(60), total: Duration::from_secs(90) };

/// What one agent answered, or why there is no answer.
pub struct Surveyed {
    pub region: String,
    /// Empty if the region has no agent that could be asked.
    pub agent: String,
    pub answer: Result<Answer, String>,
}

impl Mesh {
    /// What exists in these regions; with none given, in all that have an agent.
    pub async fn discover(&self, regions: &[RegionId]) -> Result<Vec<Surveyed>, Failure> {
        let regions = regions.iter().map(RegionId::to_string).collect();
        self.survey(About::Discover(v1::SurveyRegions { regions })).await
    }

    /// Could this stored service fail over as the world is?
    pub async fn examine(&self, service: &ServiceId) -> Result<Vec<Surveyed>, Failure> {
        self.survey(About::Service(service.to_string())).await
    }

    /// Could a service with this manifest?
    pub async fn examine_draft(&self, manifest: &Manifest) -> Result<Vec<Surveyed>, Failure> {
        self.survey(About::Draft(manifest.into())).await
    }

    async fn survey(&self, about: About) -> Result<Vec<Surveyed>, Failure> {
        let request = v1::SurveyRequest { about: Some(about) };
        let slow = self.with_limits(SURVEY);
        let answer = slow.call(|mut client| {
            let request = request.clone();
            async move { client.survey(request).await }
        });
        Ok(answer.await?.agents.into_iter().map(surveyed).collect())
    }
}

fn surveyed(of: v1::AgentSurvey) -> Surveyed {
    let answer = match of.answer {
        Some(Said::Answered(answer)) => {
            Answer::try_from(answer).map_err(|error| format!("the answer cannot be read: {error}"))
        }
        Some(Said::Failed(reason)) => Err(reason),
        None => Err("there was no answer".to_owned()),
    };
    Surveyed { region: of.region, agent: of.agent, answer }
}
