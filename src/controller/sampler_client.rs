//! Asks a running sampler how far it is. Pods are not trusted: short deadline, small answer, no redirect, no proxy.

use std::net::SocketAddr;
use std::time::Duration;

use super::untrusted;
use crate::sampler::contract::SamplerStatus;
use crate::telemetry::client;

const DEADLINE: Duration = Duration::from_secs(2);
const MAX_BYTES: usize = 64 * 1024;

/// Client for every sampler.
#[derive(Clone, Debug)]
pub(crate) struct SamplerClient(reqwest::Client);

impl SamplerClient {
    /// A client.
    ///
    /// # Errors
    /// When the system gives no resources for it.
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        Self::with_deadline(DEADLINE)
    }

    /// A client that waits that long for an answer.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn with_deadline(deadline: Duration) -> Result<Self, reqwest::Error> {
        let builder = client::builder()
            .timeout(deadline)
            .redirect(reqwest::redirect::Policy::none());
        Ok(Self(builder.no_proxy().build()?))
    }

    /// The status of the sampler at that address; `None`: no answer in time, or none within its bounds. Neither is an
    /// error: pods start and end, and an operator outside the cluster may not reach them at all.
    pub(crate) async fn status(&self, at: SocketAddr) -> Option<SamplerStatus> {
        match self.fetch(at).await {
            Ok(Some(body)) => untrusted::sampler_status(&body),
            Ok(None) => None,
            Err(error) => {
                tracing::debug!(%error, "no status from the sampler");
                None
            }
        }
    }

    async fn fetch(&self, address: SocketAddr) -> Result<Option<Vec<u8>>, reqwest::Error> {
        let mut response = self
            .0
            .get(format!("http://{address}/v1/status"))
            .send()
            .await?
            .error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }
}
