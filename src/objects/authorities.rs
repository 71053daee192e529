//! Whose certificates count. The operator's image has none of its own, so those of the public authorities are in the binary; the file
//! that `SSL_CERT_FILE` names counts too, and so does what `CA_CERTIFICATES` holds, for an authority of one's own; with the beginning of
//! the store's variables too.

use std::fs;

/// Names a file of certificates in PEM.
const FILE_ENV: &str = "SSL_CERT_FILE";
/// Holds certificates in PEM: a Secret or ConfigMap brings it without a volume.
const TEXT_ENV: [&str; 2] = ["CA_CERTIFICATES", "CURRICULUM_STORE_CA_CERTIFICATES"];

/// Certificates of a library's own type, made from DER or from a bundle in PEM.
pub(super) fn all<C, E: std::fmt::Display>(
    from_der: impl Fn(&[u8]) -> Result<C, E>,
    from_pem: impl Fn(&[u8]) -> Result<Vec<C>, E>,
) -> Vec<C> {
    let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .filter_map(|authority| from_der(authority.as_ref()).ok());
    let mut all: Vec<C> = public.collect();
    let file = std::env::var_os(FILE_ENV).map(|path| (FILE_ENV, fs::read(path)));
    let texts = TEXT_ENV.into_iter().filter_map(|name| {
        let text = std::env::var(name).ok()?;
        Some((name, Ok(text.into_bytes())))
    });
    for (variable, pem) in file.into_iter().chain(texts) {
        let pem = pem.map_err(|error| error.to_string());
        match pem.and_then(|pem| from_pem(&pem).map_err(|error| error.to_string())) {
            Ok(own) => all.extend(own),
            Err(error) => tracing::warn!(%error, variable, "no certificates come of this variable"),
        }
    }
    all
}
