//! From an address to a client: credentials, endpoint and limits.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{Certificate, ClientOptions, ObjectStore, RetryConfig};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::address::{Address, AddressError, Service};
use super::authorities;
use super::disk::ObjectDisk;
use super::hub::Hub;
use crate::scoring::dataset::Root;
use crate::scoring::task::Objects;
use crate::telemetry::client::choose_cryptography;

/// Seconds for which a request is tried again, in place of [`RETRY`].
const RETRY_ENV: &str = "CURRICULUM_OBJECTS_RETRY_SECONDS";
/// How long a request is tried again. A server that is restarted comes back within that, and credentials live longer.
const RETRY: Duration = Duration::from_secs(180);
const MOST_RETRIES: usize = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the 8 MiB of the longest request, on a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
const REGION_ENV: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
/// Region of servers that have none.
const REGION: &str = "us-east-1";
const HUB: &str = "https://huggingface.co";

/// Object storage that cannot be talked to as it is described.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is no address.
    #[error("`dataset.objectStore.url` {0}")]
    Address(#[from] AddressError),
    /// The description or the environment does not do for a client.
    #[error("`dataset.objectStore`: {0}")]
    Client(#[from] object_store::Error),
    /// A token is no text that a header can hold.
    #[error("the variable HF_TOKEN holds characters that no token has")]
    Token,
}

/// What a data set's paths are read from. Nothing is asked yet.
///
/// Credentials are those of the environment, under the names that the services' own tools use: `AWS_*`, `GOOGLE_*`, `AZURE_*`,
/// `HF_TOKEN`; without them the machine's or the service account's own identity.
///
/// # Errors
/// When the address is none, or the environment contradicts itself.
pub fn open(objects: &Objects) -> Result<Root, OpenError> {
    let address = Address::parse(&objects.url)?;
    let (retry, options, endpoint) = (retry(), options(objects), objects.endpoint.as_deref());
    let mut hub = None;
    let client: Arc<dyn ObjectStore> = match &address.service {
        Service::S3(bucket) => {
            let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
            let is_told = |name| env::var_os(name).is_some();
            let given = objects.region.as_deref();
            // A region of the environment stays.
            if let Some(region) = given.or_else(|| (!REGION_ENV.into_iter().any(is_told)).then_some(REGION)) {
                builder = builder.with_region(region);
            }
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            Arc::new(builder.with_retry(retry).with_client_options(options).build()?)
        }
        Service::Google(bucket) => {
            let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
            if let Some(endpoint) = endpoint {
                builder = builder.with_base_url(endpoint);
            }
            Arc::new(builder.with_retry(retry).with_client_options(options).build()?)
        }
        Service::Azure(container) => {
            let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(container);
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint.to_owned());
            }
            Arc::new(builder.with_retry(retry).with_client_options(options).build()?)
        }
        Service::Web(server) => {
            let options = options.with_allow_http(server.starts_with("http://"));
            web(server, retry, options)?
        }
        Service::Hub { repository, revision } => {
            let endpoint = endpoint.unwrap_or(HUB).trim_end_matches('/');
            let headers = hub_headers()?;
            // Models have no word before their names there.
            let name = repository.strip_prefix("models/").unwrap_or(repository);
            let files = format!("{endpoint}/{name}/resolve/{revision}");
            hub = Some(Hub::new(endpoint, repository, revision, headers.clone()));
            web(&files, retry, options.with_default_headers(headers))?
        }
    };
    Ok(Root {
        disk: Arc::new(ObjectDisk::new(address, client, hub)),
        path: PathBuf::new(),
    })
}

fn web(url: &str, retry: RetryConfig, options: ClientOptions) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let builder = HttpBuilder::new().with_url(url).with_retry(retry);
    Ok(Arc::new(builder.with_client_options(options).build()?))
}

fn hub_headers() -> Result<HeaderMap, OpenError> {
    let mut headers = HeaderMap::new();
    if let Ok(token) = env::var("HF_TOKEN") {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| OpenError::Token)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn retry() -> RetryConfig {
    let seconds = env::var(RETRY_ENV).ok().and_then(|text| text.parse().ok());
    RetryConfig {
        max_retries: MOST_RETRIES,
        retry_timeout: seconds.map_or(RETRY, Duration::from_secs),
        ..RetryConfig::default()
    }
}

/// Plain HTTP only where the user's own endpoint says so.
fn options(objects: &Objects) -> ClientOptions {
    choose_cryptography();
    let is_plain = objects
        .endpoint
        .as_deref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    let options = ClientOptions::new()
        .with_allow_http(is_plain)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT)
        // Else a client cannot be made where the system has none.
        .with_no_system_certificates(true);
    authorities::all(Certificate::from_der, Certificate::from_pem_bundle)
        .into_iter()
        .fold(options, ClientOptions::with_root_certificate)
}
