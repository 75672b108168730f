//! SNS topics of this region.

use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use mesh_core::execute::CallResult;

use super::error::{ReadError, call_failure};

#[derive(Clone, Debug)]
pub(crate) struct Sns(Client);

pub(crate) struct Publication<'a> {
    pub topic_arn: &'a str,
    pub subject: String,
    pub message: String,
    /// Goes with the message as an attribute.
    pub key: &'a str,
    /// On a FIFO topic: group and deduplication id.
    pub fifo: Option<(String, String)>,
}

impl Sns {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    /// Is the topic there? A role that may publish and not look is told nothing, which is no error.
    pub(crate) async fn check_topic(&self, topic_arn: &str) -> Result<(), ReadError> {
        let looked = self.0.get_topic_attributes().topic_arn(topic_arn).send().await;
        match looked.map_err(|error| (error.as_service_error().is_some(), error)) {
            Ok(_) => Ok(()),
            Err((answered, error)) => match ReadError::of("sns:GetTopicAttributes", &error) {
                ReadError::NotFound(reason) => Err(ReadError::NotFound(reason)),
                ReadError::Denied(_) => Ok(()),
                ReadError::Unreadable(_) if answered => Ok(()),
                ReadError::Unreadable(reason) => Err(ReadError::Unreadable(reason)),
            },
        }
    }

    pub(crate) async fn publish(&self, publication: Publication<'_>) -> CallResult {
        let attribute = match MessageAttributeValue::builder().data_type("String").string_value(publication.key).build()
        {
            Ok(attribute) => attribute,
            Err(error) => return CallResult::Rejected { reason: format!("sns:Publish: {error}") },
        };
        let (group, deduplication) = publication.fifo.unzip();
        let sent = self
            .0
            .publish()
            .topic_arn(publication.topic_arn)
            .subject(publication.subject)
            .message(publication.message)
            .message_attributes("IdempotencyKey", attribute)
            .set_message_group_id(group)
            .set_message_deduplication_id(deduplication)
            .send()
            .await;
        match sent {
            Ok(output) => match output.message_id() {
                Some(id) => CallResult::Accepted { reference: id.to_owned() },
                None => CallResult::Unknown { reason: "sns:Publish: the answer names no message".to_owned() },
            },
            Err(error) => call_failure("sns:Publish", &error),
        }
    }
}
