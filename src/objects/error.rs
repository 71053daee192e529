//! What an object store's answers mean to whoever reads files.

use std::io;

use object_store::Error;

/// An answer as an error of a file: of the kinds that say something about the object itself, or that may pass.
pub(super) fn io_error(error: &Error) -> io::Error {
    let kind = match error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        Error::InvalidPath { .. } => io::ErrorKind::InvalidInput,
        Error::NotSupported { .. } | Error::NotImplemented { .. } => io::ErrorKind::Unsupported,
        Error::Precondition { .. } | Error::NotModified { .. } => {
            return io::Error::new(io::ErrorKind::InvalidData, "it changed while it was read");
        }
        _ if is_refusal(&error.to_string()) => io::ErrorKind::InvalidInput,
        // A server or a network that was asked again and again, and may do better next time.
        _ => io::ErrorKind::ConnectionAborted,
    };
    let words = match kind {
        io::ErrorKind::NotFound => "there is no such object".to_owned(),
        _ => without_queries(&without_document(&in_full(error))),
    };
    io::Error::new(kind, words)
}

/// Whether the words of the library are about an answer 4xx that stays the same, such as that there is no such bucket. It has no type
/// of its own for these; 408 and 429 may pass.
fn is_refusal(words: &str) -> bool {
    let status = words.split_once("non-2xx status code: ").map(|(_, rest)| rest);
    status.is_some_and(|rest| rest.starts_with('4') && !rest.starts_with("408") && !rest.starts_with("429"))
}

/// The text with an answer in XML cut down to its message.
fn without_document(text: &str) -> String {
    let Some((before, document)) = text.split_once("<?xml") else {
        return text.to_owned();
    };
    let message = document
        .split_once("<Message>")
        .and_then(|(_, rest)| rest.split_once("</Message>"));
    format!("{before}{}", message.map_or("", |(message, _)| message))
}

/// The error and what caused it, each part once.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// The text without the queries of URLs, which may hold signatures.
fn without_queries(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || matches!(c, ')' | '"' | '\'' | '<' | '>' | ',');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let url_end = rest[at..].find(ends).map_or(rest.len(), |end| at + end);
        let url = &rest[..url_end];
        match url[at..].find('?') {
            Some(query) => {
                out.push_str(&url[..at + query]);
                out.push_str("?…");
            }
            None => out.push_str(url),
        }
        rest = &rest[url_end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_stays_the_same_is_told_from_one_that_may_pass() {
        let answer = |status: &str| {
            format!("Error performing GET http://h/b in 2ms - Server returned non-2xx status code: {status}: x")
        };
        assert!(is_refusal(&answer("404 Not Found")) && is_refusal(&answer("400 Bad Request")));
        for status in [
            "408 Request Timeout",
            "429 Too Many Requests",
            "503 Service Unavailable",
        ] {
            assert!(!is_refusal(&answer(status)), "{status}");
        }
        assert!(!is_refusal("error sending request"));
        assert_eq!(
            without_document(
                "404: <?xml version=\"1.0\"?><Error><Code>C</Code><Message>No such bucket.</Message></Error>"
            ),
            "404: No such bucket."
        );
    }

    #[test]
    fn no_signature_gets_into_a_message() {
        assert_eq!(
            without_queries("GET (https://a.net/b?sig=secret) failed, see http://c/d?e, or f"),
            "GET (https://a.net/b?…) failed, see http://c/d?…, or f"
        );
        assert_eq!(without_queries("no url here?"), "no url here?");
        assert_eq!(without_queries("https://a/b?x=1"), "https://a/b?…");
    }
}
