//! The HTTP client of every SDK client: it gets a request when it is signed, and asks for permission then.

use aws_smithy_http_client::{Builder, ConnectorBuilder, proxy, tls};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use crate::permit::{self, PermissionEnded};

#[derive(Debug)]
struct Permitted<T>(T);

/// The SDK's own default client, behind the permission.
pub(super) fn client() -> impl HttpClient + 'static {
    Permitted(Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector =
            ConnectorBuilder::default().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc));
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(proxy::ProxyConfig::from_env()));
        connector.build()
    }))
}

impl HttpClient for Permitted<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Permitted(self.0.http_connector(settings, components)))
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

impl HttpConnector for Permitted<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match permit::holds() {
            true => self.0.call(request),
            false => HttpConnectorFuture::ready(Err(ConnectorError::other(PermissionEnded.into(), None))),
        }
    }
}
