//! JSON that is kept for long, packed. Objects of Kubernetes are mostly the same words, and those are in the dictionary.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};

/// Objects of a run, as they are kept: what others have in common with these takes next to no room. Any text would do.
const DICTIONARY: &[u8] = include_bytes!("packed.words");
/// The quickest level: with a dictionary, the higher ones gain little.
const LEVEL: i32 = 1;

/// One text, packed.
#[derive(Clone, Debug)]
pub(crate) enum Packed {
    Zstd {
        bytes: Box<[u8]>,
        /// Bytes of the text.
        length: usize,
    },
    /// As it is, when it could not be packed.
    Plain(Box<[u8]>),
}

thread_local! {
    /// Contexts are large, and have the dictionary ready.
    static CONTEXTS: RefCell<Option<(Compressor<'static>, Decompressor<'static>)>> = const { RefCell::new(None) };
}

fn with_contexts<T>(
    work: impl FnOnce(&mut Compressor<'static>, &mut Decompressor<'static>) -> io::Result<T>,
) -> io::Result<T> {
    CONTEXTS.with_borrow_mut(|contexts| {
        let (packer, unpacker) = match contexts {
            Some(contexts) => contexts,
            None => contexts.insert((
                Compressor::with_dictionary(LEVEL, DICTIONARY)?,
                Decompressor::with_dictionary(DICTIONARY)?,
            )),
        };
        work(packer, unpacker)
    })
}

impl Packed {
    pub(crate) fn new(text: &[u8]) -> Self {
        match with_contexts(|packer, _| packer.compress(text)) {
            // Copied, so that no room to grow is kept with it.
            Ok(bytes) => Self::Zstd {
                bytes: Box::from(bytes.as_slice()),
                length: text.len(),
            },
            Err(error) => {
                tracing::debug!(%error, "kept without being packed");
                Self::Plain(Box::from(text))
            }
        }
    }

    /// The text.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(crate) fn text(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd { bytes, length } => with_contexts(|_, unpacker| unpacker.decompress(bytes, *length)),
            Self::Plain(bytes) => Ok(bytes.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;
    use proptest::prelude::*;

    use super::*;
    use crate::controller::test_support::{as_json, curriculum_job, exited, pod};

    proptest! {
        #[test]
        fn every_text_comes_back(text in proptest::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(Packed::new(&text).text().unwrap(), text);
        }
    }

    #[test]
    fn an_object_takes_less_than_half_of_its_room() {
        let job = curriculum_job(serde_json::json!({}));
        let pod = pod(&Job::default(), "Succeeded", vec![exited("sampler", 0, None)]);
        for text in [as_json(&job), as_json(&pod)] {
            let Packed::Zstd { bytes, .. } = Packed::new(text.as_bytes()) else {
                panic!("it is not packed");
            };
            assert!(2 * bytes.len() < text.len(), "{} of {} bytes", bytes.len(), text.len());
        }
    }
}
