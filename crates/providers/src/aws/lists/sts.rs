use aws_config::SdkConfig;
use aws_sdk_sts::Client;
use mesh_core::time::Timestamp;

use crate::aws::date::ResponseDate;
use crate::aws::error::ReadError;
use crate::aws::sts::Caller;

/// Whose credentials these are, and what time it is at AWS, in whole seconds.
pub(crate) async fn caller(config: &SdkConfig) -> Result<(Caller, Option<Timestamp>), ReadError> {
    let date = ResponseDate::default();
    let sent = Client::new(config).get_caller_identity().customize().interceptor(date.clone()).send().await;
    let output = sent.map_err(|error| ReadError::of("sts:GetCallerIdentity", &error))?;
    let caller = Caller {
        account: output.account().unwrap_or_default().to_owned(),
        arn: output.arn().unwrap_or_default().to_owned(),
    };
    Ok((caller, date.taken()))
}
