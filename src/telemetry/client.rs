//! HTTP clients of this process.

/// What a client is made of.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    choose_cryptography();
    reqwest::Client::builder()
}

/// One provider of cryptography for the whole process, without which no client can be made, of plain HTTP neither.
#[cfg(feature = "objects")]
pub(crate) fn choose_cryptography() {
    use std::sync::Once;

    static ONCE: Once = Once::new();
    // A part of the process that was earlier has chosen the same.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// Clients of this build speak plain HTTP only.
#[cfg(not(feature = "objects"))]
fn choose_cryptography() {}
