//! STS: whose credentials are these?

use aws_config::SdkConfig;
use aws_sdk_sts::Client;

use super::error::ReadError;

#[derive(Clone, Debug)]
pub(crate) struct Sts(Client);

/// The account and the principal that the AWS credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub account: String,
    pub arn: String,
}

impl Sts {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    pub(crate) async fn caller(&self) -> Result<Caller, ReadError> {
        let operation = "sts:GetCallerIdentity";
        let output = self.0.get_caller_identity().send().await.map_err(|error| ReadError::of(operation, &error))?;
        Ok(Caller {
            account: output.account().unwrap_or_default().to_owned(),
            arn: output.arn().unwrap_or_default().to_owned(),
        })
    }
}
