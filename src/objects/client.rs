//! From an address to a client: credentials, endpoint and limits.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;
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
use crate::api::names::ENV_STORE_PREFIX;
use crate::scoring::dataset::Root;
use crate::store::place::Objects;
use crate::store::{Remote, patience};
use crate::telemetry::client::choose_cryptography;

const MOST_RETRIES: usize = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the 8 MiB of the longest request, on a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
const SHORT_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const SHORT_REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
const REGION_ENV: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
/// Region of servers that have none.
const REGION: &str = "us-east-1";
const HUB: &str = "https://huggingface.co";

/// Object storage that cannot be talked to as it is described.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is no address.
    #[error("`url` {0}")]
    Address(#[from] AddressError),
    /// The description or the environment does not do for a client.
    #[error(transparent)]
    Client(#[from] object_store::Error),
    /// Nothing can be put there.
    #[error(
        "`url` is '{0}'; files can be put below `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` and `az://CONTAINER/PREFIX` only"
    )]
    ReadOnly(String),
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
    Ok(Root {
        disk: Arc::new(connect(objects, &Variables::all(), retry(patience()))?),
        path: PathBuf::new(),
    })
}

/// Where the files of a store are kept. Nothing is asked yet; a request is tried again for `patience`.
///
/// Credentials as in [`open`], under names that begin with `CURRICULUM_STORE_`; where no key is among these, those without that
/// beginning count too. So a data set and its scores may be in two accounts.
///
/// # Errors
/// As [`open`], and when nothing can be put at the address.
pub fn open_store(objects: &Objects, patience: Duration) -> Result<Arc<dyn Remote>, OpenError> {
    let disk = connect(objects, &Variables::of_store(), retry(patience))?;
    if !disk.takes_objects() {
        return Err(OpenError::ReadOnly(objects.url.clone()));
    }
    Ok(Arc::new(disk))
}

/// Variables of this process for a client.
struct Variables(Option<Vec<(String, String)>>);

impl Variables {
    /// Those under the services' own names.
    fn all() -> Self {
        Self(None)
    }

    /// Those of the store alone.
    fn of_store() -> Self {
        let own = env::vars_os().filter_map(|(name, value)| {
            let name = name.to_str()?.strip_prefix(ENV_STORE_PREFIX)?.to_owned();
            Some((name, value.into_string().ok()?))
        });
        Self(Some(own.collect()))
    }

    /// Variables that begin so. With `true`, a key is among them: then none under the service's own names is taken, or a token of the one
    /// account would be sent with the key of the other; else they add to those.
    fn own(&self, beginning: &str) -> (Vec<(String, String)>, bool) {
        let own = self.0.iter().flatten();
        let own: Vec<_> = own
            .filter(|(name, _)| name.starts_with(beginning))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect();
        let is_key = |name: &str| {
            ["key", "secret", "token", "sas", "credentials", "service_account"]
                .iter()
                .any(|word| name.contains(word))
        };
        // A key with which a server encrypts is none that it knows somebody by.
        let has_key = own.iter().any(|(name, _)| is_key(name) && !name.contains("_sse_"));
        (own, has_key)
    }
}

/// A builder with those of the variables that it knows.
fn told<B, K: FromStr>(variables: Vec<(String, String)>, builder: B, set: impl Fn(B, K, String) -> B) -> B {
    let known = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.parse().ok()?, value)));
    known.fold(builder, |builder, (key, value)| set(builder, key, value))
}

fn connect(objects: &Objects, variables: &Variables, retry: RetryConfig) -> Result<ObjectDisk, OpenError> {
    let address = Address::parse(&objects.url)?;
    let (options, endpoint) = (options(objects, &retry), objects.endpoint.as_deref());
    let mut hub = None;
    let client: Arc<dyn ObjectStore> = match &address.service {
        Service::S3(bucket) => {
            let (own, has_key) = variables.own("AWS_");
            let is_told = |name: &str| {
                let told = own.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
                told || (!has_key && env::var_os(name).is_some())
            };
            let is_region_told = REGION_ENV.into_iter().any(is_told);
            let builder = if has_key {
                AmazonS3Builder::new()
            } else {
                AmazonS3Builder::from_env()
            };
            let builder = told(own, builder, AmazonS3Builder::with_config);
            let mut builder = builder.with_bucket_name(bucket);
            let given = objects.region.as_deref();
            // A region of the environment stays.
            if let Some(region) = given.or_else(|| (!is_region_told).then_some(REGION)) {
                builder = builder.with_region(region);
            }
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            Arc::new(builder.with_retry(retry).with_client_options(options).build()?)
        }
        Service::Google(bucket) => {
            let (own, has_key) = variables.own("GOOGLE_");
            let builder = if has_key {
                GoogleCloudStorageBuilder::new()
            } else {
                GoogleCloudStorageBuilder::from_env()
            };
            let builder = told(own, builder, GoogleCloudStorageBuilder::with_config);
            let mut builder = builder.with_bucket_name(bucket);
            if let Some(endpoint) = endpoint {
                builder = builder.with_base_url(endpoint);
            }
            Arc::new(builder.with_retry(retry).with_client_options(options).build()?)
        }
        Service::Azure(container) => {
            let (own, has_key) = variables.own("AZURE_");
            let builder = if has_key {
                MicrosoftAzureBuilder::new()
            } else {
                MicrosoftAzureBuilder::from_env()
            };
            let builder = told(own, builder, MicrosoftAzureBuilder::with_config);
            let mut builder = builder.with_container_name(container);
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
    Ok(ObjectDisk::new(address, client, hub))
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

fn retry(patience: Duration) -> RetryConfig {
    RetryConfig {
        max_retries: MOST_RETRIES,
        retry_timeout: patience,
        ..RetryConfig::default()
    }
}

/// Plain HTTP only where the user's own endpoint says so.
fn options(objects: &Objects, retry: &RetryConfig) -> ClientOptions {
    choose_cryptography();
    let is_plain = objects
        .endpoint
        .as_deref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    // Who does not wait long does not wait long for one answer either.
    let (connect, request) = match retry.retry_timeout < SHORT_REQUEST_TIMEOUT {
        true => (SHORT_CONNECT_TIMEOUT, SHORT_REQUEST_TIMEOUT),
        false => (CONNECT_TIMEOUT, REQUEST_TIMEOUT),
    };
    let options = ClientOptions::new()
        .with_allow_http(is_plain)
        .with_connect_timeout(connect)
        .with_timeout(request)
        // Else a client cannot be made where the system has none.
        .with_no_system_certificates(true);
    authorities::all(Certificate::from_der, Certificate::from_pem_bundle)
        .into_iter()
        .fold(options, ClientOptions::with_root_certificate)
}
