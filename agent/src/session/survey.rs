//! A survey's answer, in time and of a size that fits a message.

use std::time::Duration;

use mesh_core::survey::Question;
use mesh_proto::v1;
use mesh_providers::Surveys;
use prost::Message;
use tokio::time::timeout;
use v1::survey_report::Result as Reported;

/// The leader waits 45 s.
const SURVEY_MAX: Duration = Duration::from_secs(40);
/// A quarter of the largest message, so that the answers of several regions fit one.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

pub async fn report(surveys: &dyn Surveys, demand: v1::SurveyDemand) -> v1::SurveyReport {
    let v1::SurveyDemand { id, question } = demand;
    let result = answer(surveys, question).await.map_or_else(Reported::Failed, Reported::Answer);
    v1::SurveyReport { id, result: Some(result) }
}

async fn answer(surveys: &dyn Surveys, question: Option<v1::SurveyQuestion>) -> Result<v1::SurveyAnswer, String> {
    let question = question.ok_or_else(|| "the demand holds no question".to_owned())?;
    let question = Question::try_from(question).map_err(|error| format!("the question is none: {error}"))?;
    let answered = timeout(SURVEY_MAX, surveys.survey(&question)).await;
    let answer = answered.map_err(|_| format!("no answer within {} s", SURVEY_MAX.as_secs()))??;
    let answer = v1::SurveyAnswer::from(&answer);
    match answer.encoded_len() {
        size if size > ANSWER_BYTES_MAX => Err(format!("there is more than an answer holds: {size} bytes")),
        _ => Ok(answer),
    }
}
