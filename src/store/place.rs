//! Where files are kept that no volume holds, as one program tells another.

use serde::{Deserialize, Serialize};

/// A remote, in the variable `CURRICULUM_STORE` of pods, as JSON. Credentials are elsewhere.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Objects below an address.
    Objects(Objects),
    /// Keys of a Redis server.
    Redis(Redis),
}

/// A part of an object store.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objects {
    /// The place that paths are relative to, such as `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Base URL of a server that is not the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of an S3 bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// A part of a Redis server's keys.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redis {
    /// `redis://HOST:PORT/DATABASE`, or `rediss://…` for TLS.
    pub url: String,
    /// What every key begins with.
    pub key_prefix: String,
}

/// A server of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name or IPv4 address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Number of the database.
    pub database: u16,
    /// Whether it speaks TLS.
    pub has_tls: bool,
}

/// Port of a URL that names none.
const PORT: u16 = 6379;

impl Redis {
    /// The server of the URL.
    ///
    /// # Errors
    /// In words that name the field, and never a password.
    pub fn server(&self) -> Result<Server, String> {
        let prefix_fits = |c: char| c.is_ascii_alphanumeric() || ":._/{}-".contains(c);
        if self.key_prefix.is_empty() || !self.key_prefix.chars().all(prefix_fits) {
            return Err(
                "`keyPrefix` must have letters, digits and the characters `:._/{}-` only, at least one".to_owned(),
            );
        }
        server(&self.url).ok_or_else(|| {
            "`url` must be `redis://HOST:PORT/DATABASE`, or `rediss://HOST:PORT/DATABASE` for TLS, without user and password; \
             a port is 1 to 65535"
                .to_owned()
        })
    }
}

fn server(url: &str) -> Option<Server> {
    let (scheme, rest) = url.split_once("://")?;
    let has_tls = match scheme {
        "redis" => false,
        "rediss" => true,
        _ => return None,
    };
    let (address, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = address.split_once(':').unwrap_or((address, ""));
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    if host.is_empty() || !host.chars().all(fits) {
        return None;
    }
    let number = |text: &str, otherwise| match text {
        "" => Some(otherwise),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    };
    Some(Server {
        host: host.to_owned(),
        port: number(port, PORT).filter(|port| *port > 0)?,
        database: number(database, 0)?,
        has_tls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(url: &str, key_prefix: &str) -> Result<Server, String> {
        let (url, key_prefix) = (url.to_owned(), key_prefix.to_owned());
        Redis { url, key_prefix }.server()
    }

    #[test]
    fn a_url_names_a_server_and_no_password() {
        let server = |host: &str, port, database, has_tls| Server {
            host: host.to_owned(),
            port,
            database,
            has_tls,
        };
        for (url, expected) in [
            ("redis://cache:6380/2", server("cache", 6380, 2, false)),
            ("rediss://cache.example.com", server("cache.example.com", 6379, 0, true)),
            ("redis://10.0.0.7/", server("10.0.0.7", 6379, 0, false)),
        ] {
            assert_eq!(redis(url, "a:").unwrap(), expected, "{url}");
        }
        for url in [
            "cache:6379",
            "http://cache",
            "redis://",
            "redis:///0",
            "redis://user:secret@cache",
            "redis://cache:0",
            "redis://cache:99999",
            "redis://cache:+1",
            "redis://cache/two",
            "redis://cache/99999",
            "redis://[::1]:6380",
            "rediss://cache/#insecure",
            "unix:///run/redis.sock",
        ] {
            let error = redis(url, "a:").unwrap_err();
            assert!(error.contains("must be `redis://HOST:PORT/DATABASE`"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        for prefix in ["", "a b", "a*", "ä"] {
            assert!(
                redis("redis://cache", prefix).unwrap_err().contains("`keyPrefix`"),
                "{prefix}"
            );
        }
    }
}
