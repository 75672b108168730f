use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use mesh_core::survey::TOPICS_MAX;

use super::{Listed, PAGES_MAX, next};
use crate::aws::error::ReadError;

/// ARNs.
pub(crate) async fn topics(config: &SdkConfig) -> Result<Listed<String>, ReadError> {
    let client = Client::new(config);
    let mut listed = Listed::new();
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let sent = client.list_topics().set_next_token(token).send().await;
        let output = sent.map_err(|error| ReadError::of("sns:ListTopics", &error))?;
        token = next(output.next_token());
        let page = output.topics().iter().filter_map(|topic| topic.topic_arn()).map(str::to_owned);
        if listed.take(page, TOPICS_MAX, token.is_none()) {
            return Ok(listed);
        }
    }
    listed.more = true;
    Ok(listed)
}

/// Is the topic there? Unlike a notice, a survey wants to know when it may not look.
pub(crate) async fn topic_exists(config: &SdkConfig, arn: &str) -> Result<(), ReadError> {
    let sent = Client::new(config).get_topic_attributes().topic_arn(arn).send().await;
    sent.map(drop).map_err(|error| ReadError::of("sns:GetTopicAttributes", &error))
}
