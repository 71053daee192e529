//! Where objects are: a URL, taken apart and checked without asking anybody.

use std::fmt;

/// Schemes and what stands behind them, for messages.
const KNOWN: &str = "`s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, `https://HOST/PATH` or \
                     `hf://datasets/OWNER/NAME@REVISION/PATH`";
/// Revision of a repository of the hub, where the URL names none.
const DEFAULT_REVISION: &str = "main";

/// The place that a data set's paths are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Which protocol is spoken there.
    pub service: Service,
    /// What stands before every key, without slashes at its ends; may be empty.
    pub prefix: String,
}

/// What objects are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// A bucket of Amazon S3, or of a server that speaks its protocol.
    S3(String),
    /// A bucket of Google Cloud Storage.
    Google(String),
    /// A container of Azure Blob Storage.
    Azure(String),
    /// A web server: scheme, host and port, such as `https://data.example.com`.
    Web(String),
    /// A repository of the Hugging Face hub.
    Hub {
        /// Kind, owner and name, such as `datasets/stanfordnlp/imdb`.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
    },
}

/// A URL that is no address of objects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` {problem}")]
pub struct AddressError {
    /// The URL, without a password.
    pub url: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl Address {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let wrong = |problem: String| AddressError {
            url: without_password(url),
            problem,
        };
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong(format!("is no URL; it must be {KNOWN}")));
        };
        if rest.contains(['?', '#']) || rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong("must have no `?`, no `#` and no white space".to_owned()));
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            return Err(wrong(format!("names nothing behind `{scheme}://`; it must be {KNOWN}")));
        }
        if host.contains('@') {
            return Err(wrong(
                "must hold no user and no password; put them into a Secret that `envFrom` names".to_owned(),
            ));
        }
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.iter().any(|part| matches!(*part, "." | "..")) {
            return Err(wrong("must have no `.` and no `..` in its path".to_owned()));
        }
        let service = match scheme {
            "s3" => Service::S3(host.to_owned()),
            "gs" => Service::Google(host.to_owned()),
            "az" => Service::Azure(host.to_owned()),
            "http" | "https" => Service::Web(format!("{scheme}://{host}")),
            "hf" => {
                if !matches!(host, "datasets" | "models") || parts.len() < 2 {
                    return Err(wrong("must be `hf://datasets/OWNER/NAME@REVISION/PATH`".to_owned()));
                }
                let rest = parts.split_off(2);
                let (name, revision) = parts[1].split_once('@').unwrap_or((parts[1], DEFAULT_REVISION));
                let repository = format!("{host}/{}/{name}", parts[0]);
                let revision = revision.to_owned();
                parts = rest;
                Service::Hub { repository, revision }
            }
            _ => return Err(wrong(format!("has the scheme `{scheme}`; it must be {KNOWN}"))),
        };
        Ok(Self {
            service,
            prefix: parts.join("/"),
        })
    }

    /// The key of a path below this address.
    pub fn key(&self, path: &str) -> String {
        match (self.prefix.as_str(), path) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}/{path}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Service::S3(bucket) => write!(f, "s3://{bucket}/{}", self.prefix),
            Service::Google(bucket) => write!(f, "gs://{bucket}/{}", self.prefix),
            Service::Azure(container) => write!(f, "az://{container}/{}", self.prefix),
            Service::Web(server) => write!(f, "{server}/{}", self.prefix),
            Service::Hub { repository, revision } => write!(f, "hf://{repository}@{revision}/{}", self.prefix),
        }
    }
}

/// The URL with what stands before an `@` in its host left out.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{path}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_names_its_service_and_a_prefix() {
        let hub = |repository: &str, revision: &str| Service::Hub {
            repository: repository.to_owned(),
            revision: revision.to_owned(),
        };
        for (url, service, prefix) in [
            ("s3://data", Service::S3("data".into()), ""),
            ("s3://data/", Service::S3("data".into()), ""),
            ("s3://data/a//b/", Service::S3("data".into()), "a/b"),
            ("gs://data/a", Service::Google("data".into()), "a"),
            ("az://data/a", Service::Azure("data".into()), "a"),
            ("http://h:8080/a/b", Service::Web("http://h:8080".into()), "a/b"),
            ("https://h", Service::Web("https://h".into()), ""),
            ("hf://datasets/o/n", hub("datasets/o/n", "main"), ""),
            ("hf://datasets/o/n@v1/data", hub("datasets/o/n", "v1"), "data"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((&address.service, address.prefix.as_str()), (&service, prefix), "{url}");
        }
        let address = Address::parse("s3://data/a").unwrap();
        assert_eq!((address.key(""), address.key("b/c")), ("a".into(), "a/b/c".into()));
        assert_eq!(Address::parse("s3://data").unwrap().key("b"), "b");
        assert_eq!(address.to_string(), "s3://data/a");
    }

    #[test]
    fn what_is_no_address_is_said_without_its_password() {
        for (url, says) in [
            ("data/train.csv", "is no URL; it must be `s3://BUCKET/PREFIX`"),
            ("ftp://host/a", "has the scheme `ftp`"),
            ("s3:///a", "names nothing behind `s3://`"),
            ("s3://data/../a", "no `.` and no `..`"),
            ("s3://data/a?x=1", "must have no `?`"),
            ("s3://data/a b", "no white space"),
            (
                "hf://datasets/owner",
                "must be `hf://datasets/OWNER/NAME@REVISION/PATH`",
            ),
            ("hf://spaces/o/n", "must be `hf://datasets/"),
            ("https://user:secret@host/a", "must hold no user and no password"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
