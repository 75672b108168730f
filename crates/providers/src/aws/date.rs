//! The provider's own time: the `Date` header of its response, whole seconds, rounded down.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use mesh_core::time::Timestamp;

/// Give one clone to one operation; read the other after it.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseDate(Arc<Mutex<Option<Timestamp>>>);

impl ResponseDate {
    pub(super) fn taken(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for ResponseDate {
    fn name(&self) -> &'static str {
        "ResponseDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(parse);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

fn parse(header: &str) -> Option<Timestamp> {
    DateTime::from_str(header, Format::HttpDate).ok().and_then(|date| timestamp(&date))
}

/// `None` for a time before 1970.
pub(super) fn timestamp(date: &DateTime) -> Option<Timestamp> {
    u64::try_from(date.to_millis().ok()?).ok().map(Timestamp::from_millis)
}

pub(super) fn date_time(at: Timestamp) -> DateTime {
    DateTime::from_millis(i64::try_from(at.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_header_is_read_to_the_second() {
        assert_eq!(parse("Tue, 29 Apr 2014 18:30:38 GMT"), Some(Timestamp::from_millis(1_398_796_238_000)));
        assert_eq!(parse("yesterday"), None);
    }
}
