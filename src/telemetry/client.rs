//! HTTP clients of this process.

/// What a client of plain HTTP is made of: it trusts no certificate authority, so that it can be made where the system has none, as
/// in the operator's image.
#[cfg(feature = "objects")]
pub(crate) fn builder() -> reqwest::ClientBuilder {
    choose_cryptography();
    reqwest::Client::builder().tls_certs_only([])
}

/// What a client is made of. Those of this build speak plain HTTP only.
#[cfg(not(feature = "objects"))]
pub(crate) fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
}

/// One provider of cryptography for the whole process, without which no client can be made, of plain HTTP neither.
#[cfg(any(feature = "objects", feature = "redis"))]
pub(crate) fn choose_cryptography() {
    use std::sync::Once;

    static ONCE: Once = Once::new();
    // A part of the process that was earlier has chosen the same.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}
