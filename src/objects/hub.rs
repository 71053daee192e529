//! What the Hugging Face hub says of the files of a repository.
//!
//! `GET /api/<repository>/tree/<revision>/<folder>` lists a folder, page by page
//! (<https://huggingface.co/docs/hub/api>); `/<repository>/resolve/<revision>/<path>` is a file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Certificate, StatusCode};
use serde::Deserialize;

use super::authorities;
use super::runtime::wait;
use crate::scoring::dataset::{Entry, EntryKind};
use crate::telemetry::client;

const TIMEOUT: Duration = Duration::from_secs(60);
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Pages of one folder; the hub puts 1,000 names on each.
const MOST_PAGES: usize = 200;

/// One revision of a repository. What a folder holds is asked for once: files are looked at one by one, and often.
#[derive(Debug)]
pub(super) struct Hub {
    tree: String,
    headers: HeaderMap,
    known: Mutex<HashMap<String, Arc<[Listed]>>>,
}

#[derive(Deserialize, Debug)]
struct Listed {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
}

impl Hub {
    pub(super) fn new(endpoint: &str, repository: &str, revision: &str, headers: HeaderMap) -> Self {
        Self {
            tree: format!("{endpoint}/api/{repository}/tree/{revision}"),
            headers,
            known: Mutex::default(),
        }
    }

    /// Length of a file.
    pub(super) fn bytes(&self, path: &str) -> io::Result<u64> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let listed = self.listed(folder)?;
        let file = listed.iter().find(|file| file.path == path && file.kind == "file");
        file.map(|file| file.size)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such file in the repository"))
    }

    /// Files and folders of a folder.
    pub(super) fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let listed = self.listed(folder)?;
        let entry = |file: &Listed| Entry {
            name: OsString::from(file.path.rsplit('/').next().unwrap_or_default()),
            kind: match file.kind.as_str() {
                "directory" => EntryKind::Folder,
                _ => EntryKind::File,
            },
        };
        Ok(listed.iter().map(entry).collect())
    }

    fn listed(&self, folder: &str) -> io::Result<Arc<[Listed]>> {
        // Held while it is asked for: whoever wants the same waits for the answer.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listed) = known.get(folder) {
            return Ok(Arc::clone(listed));
        }
        let listed: Arc<[Listed]> = wait(self.pages(folder))?.into();
        known.insert(folder.to_owned(), Arc::clone(&listed));
        Ok(listed)
    }

    async fn pages(&self, folder: &str) -> io::Result<Vec<Listed>> {
        let authorities = authorities::all(Certificate::from_der, Certificate::from_pem_bundle);
        let client = client::builder()
            .tls_certs_only(authorities)
            .default_headers(self.headers.clone())
            .timeout(TIMEOUT)
            .build()
            .map_err(passing)?;
        let mut url = format!("{}/{folder}", self.tree).trim_end_matches('/').to_owned();
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let (page, next) = page(&client, &url).await?;
            all.extend(page);
            match next {
                Some(next) => url = next,
                None => return Ok(all),
            }
        }
        let words = format!("the folder has more than {MOST_PAGES} pages of names");
        Err(io::Error::new(io::ErrorKind::InvalidData, words))
    }
}

/// One page, and where the next one is.
async fn page(client: &reqwest::Client, url: &str) -> io::Result<(Vec<Listed>, Option<String>)> {
    let mut pause = FIRST_PAUSE;
    for left in (0..TRIES).rev() {
        let answer = client.get(url).send().await;
        let passes = match &answer {
            Ok(answer) => answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS,
            Err(_) => true,
        };
        if passes && left > 0 {
            tokio::time::sleep(pause).await;
            pause *= 2;
            continue;
        }
        let answer = answer.map_err(passing)?;
        let kind = match answer.status() {
            StatusCode::NOT_FOUND => Some(io::ErrorKind::NotFound),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(io::ErrorKind::PermissionDenied),
            status if !status.is_success() => Some(io::ErrorKind::ConnectionAborted),
            _ => None,
        };
        if let Some(kind) = kind {
            return Err(io::Error::new(kind, format!("the hub answered {}", answer.status())));
        }
        let next = answer
            .headers()
            .get(LINK)
            .and_then(|links| next_of(links.to_str().ok()?));
        let page = answer.json().await.map_err(passing)?;
        return Ok((page, next));
    }
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// The next page by RFC 8288: `<URL>; rel="next"`.
fn next_of(links: &str) -> Option<String> {
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (_, url) = next.split_once('<')?;
    url.split_once('>').map(|(url, _)| url.to_owned())
}

fn passing(error: reqwest::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, error.without_url())
}
